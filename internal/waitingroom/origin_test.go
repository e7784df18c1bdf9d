package waitingroom

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// send sends a request byte for byte: a client library refuses most of these targets.
func (p *place) send(target, host string, headers ...string) answer {
	p.t.Helper()
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n\r\n", target, host, strings.Join(headers, "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.t.Fatalf("%q: %v", target, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("%q: %v", target, err)
	}
	return answer{res, string(body)}
}

// hostileTargets maps request targets to the link that the room makes of each. "" stands for
// a request that the server refuses.
var hostileTargets = map[string]string{
	"/lab?x=1&y=%2F":                "/lab?x=1&y=%2F",
	"/a;b=1/%2Fc":                   "/a;b=1/%2Fc",
	"//evil.example/x":              "/evil.example/x",
	"///evil.example/x":             "/evil.example/x",
	`/\evil.example`:                "/%5Cevil.example",
	`\\evil.example`:                "",
	`/\/evil.example`:               "/%5C/evil.example",
	"/%2F/evil.example":             "/%2F/evil.example",
	"/%5Cevil.example":              "/%5Cevil.example",
	"/%09/evil.example":             "/%09/evil.example",
	"/%0D%0ALocation:%20//evil":     "/%0D%0ALocation:%20//evil",
	"/\t/evil.example":              "",
	"/\x01/evil.example":            "",
	"/#//evil.example":              "/%23//evil.example",
	"/?next=//evil.example#x":       "/?next=//evil.example%23x",
	"http:evil.example":             "/",
	"http:@evil.example/x":          "/",
	"http:/evil.example":            "/evil.example",
	"javascript:alert(1)":           "/",
	"*":                             "/*",
	"http://HOST//evil.example/x":   "/evil.example/x",
	"http://HOST":                   "/",
	"http://a@HOST//evil.example/x": "/evil.example/x",
}

var goOn = regexp.MustCompile(`<a href="([^"]*)">Go on to the server</a>`)

// TestGoOnStaysHere: the link of the page "another page has sent you here" stays on this origin,
// whatever path the other page asked for.
func TestGoOnStaysHere(t *testing.T) {
	p := open(t, true, nil, 0)
	host := strings.TrimPrefix(p.base, "http://")
	for target, want := range hostileTargets {
		a := p.send(strings.ReplaceAll(target, "HOST", host), host,
			"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site")
		got := ""
		if m := goOn.FindStringSubmatch(a.body); m != nil {
			got = strings.NewReplacer("&amp;", "&", "&#43;", "+").Replace(m[1])
		}
		if got != want {
			t.Errorf("%q (%d): the link is %q, want %q", target, a.StatusCode, got, want)
		}
		staysAt(t, target, p.base, got)
	}
}

// TestOtherNameStaysHere: the redirect from localhost to 127.0.0.1 leads to this port only.
func TestOtherNameStaysHere(t *testing.T) {
	p := open(t, true, nil, 0)
	host := "localhost:" + strconv.Itoa(p.listener.Port())
	for target, want := range hostileTargets {
		a := p.send(strings.ReplaceAll(target, "HOST", host), host,
			"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none")
		if want != "" {
			want = p.base + want
		}
		got := a.Header.Get("Location")
		if got != want {
			t.Errorf("%q (%d): the redirect is to %q, want %q", target, a.StatusCode, got, want)
		}
		staysAt(t, target, p.base, got)
	}
}

// staysAt fails the test if a link on a page of that origin leads elsewhere. Browsers read "\" as
// "/", and leave tabs and line ends out.
func staysAt(t *testing.T, target, origin, link string) {
	t.Helper()
	base, err := url.Parse(origin + "/")
	if err != nil {
		t.Fatal(err)
	}
	to, err := base.Parse(strings.NewReplacer(`\`, "/", "\t", "", "\r", "", "\n", "").Replace(link))
	if err != nil || to.Scheme+"://"+to.Host != origin || to.User != nil {
		t.Errorf("%q: the link %q leads to %v (%v)", target, link, to, err)
	}
}

// FuzzLocalTarget: no request target makes a link to another origin.
func FuzzLocalTarget(f *testing.F) {
	for target := range hostileTargets {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return // net/http refuses it too
		}
		link := localTarget(u)
		if !strings.HasPrefix(link, "/") || strings.HasPrefix(link, "//") || strings.HasPrefix(link, `/\`) {
			t.Errorf("%q: %q", target, link)
		}
		staysAt(t, target, "http://127.0.0.1:8888", link)
	})
}
