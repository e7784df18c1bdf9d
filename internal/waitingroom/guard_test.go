package waitingroom

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// Who asks, as a kernel says that tells users apart.
func ownUser(_, _ netip.AddrPort) (int, error)     { return os.Getuid(), nil }
func anotherUser(_, _ netip.AddrPort) (int, error) { return os.Getuid() + 54321, nil }
func rootUser(_, _ netip.AddrPort) (int, error)    { return peer.Root, nil }
func unknownUser(_, _ netip.AddrPort) (int, error) { return 0, peer.ErrUnknown }

const (
	notRoot = 4242 // a user to whom root is another, also where root runs the tests
	firefox = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	// Invoke-WebRequest's own, of Windows PowerShell 5.1 and PowerShell 7.
	windowsPowerShell = "User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4648"
	powerShell        = "User-Agent: Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.22631; en-US) PowerShell/7.4.6"

	evil = "http://evil.example"
)

// The user's own programs and the user's own hands get in without a link; pages of other sites and
// ports, which are in the user's own browser, do not.
func TestGuardOwnUser(t *testing.T) {
	p := openWith(t, true, nil, 0, ownUser)
	p.listener.SetTarget(p.target)
	port := strconv.Itoa(p.listener.Port())
	for _, tt := range []struct {
		name    string
		method  string
		headers []string
		want    int
	}{
		{"curl", http.MethodGet, []string{"User-Agent: curl/8.14"}, 200},
		{"curl by name", http.MethodGet, []string{"Host: localhost:" + port}, 200},
		{"curl by name in capitals", http.MethodGet, []string{"Host: LOCALHOST:" + port}, 200},
		{"a program's upload", http.MethodPut, nil, 200},
		{"an address that is typed", http.MethodGet, []string{firefox, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"}, 200},
		{"typed by name", http.MethodGet, []string{firefox, "Sec-Fetch-Site: none", "Host: localhost:" + port}, 200},
		{"the server's own page", http.MethodPost, []string{firefox, "Sec-Fetch-Site: same-origin", "Origin: " + p.base}, 200},
		{"its other name's page", http.MethodGet, []string{firefox, "Sec-Fetch-Site: cross-site", "Host: localhost:" + port, "Referer: " + p.base + "/"}, 200},
		{"a websocket client", http.MethodGet, []string{"Origin: " + p.base}, 200},
		{"Windows PowerShell", http.MethodGet, []string{windowsPowerShell}, 200},
		{"PowerShell", http.MethodPost, []string{powerShell}, 200},
		{"PowerShell's name in a page's request", http.MethodGet, []string{powerShell, "Origin: " + evil}, 403},
		{"another site's page", http.MethodGet, []string{firefox, "Sec-Fetch-Site: cross-site"}, 403},
		{"that tells where it is", http.MethodGet, []string{firefox, "Sec-Fetch-Site: cross-site", "Referer: " + evil + "/"}, 403},
		{"that writes", http.MethodPost, []string{firefox, "Sec-Fetch-Site: cross-site", "Origin: " + evil}, 403},
		{"another port's page", http.MethodGet, []string{firefox, "Sec-Fetch-Site: same-site"}, 403},
		{"that tells where it is", http.MethodGet, []string{firefox, "Sec-Fetch-Site: same-site", "Referer: http://127.0.0.1:1/"}, 403},
		{"another port's websocket", http.MethodGet, []string{"Origin: http://127.0.0.1:1"}, 403},
		{"a page from a file", http.MethodPost, []string{firefox, "Origin: null"}, 403},
		{"a rebound name", http.MethodGet, []string{firefox, "Host: evil.example:" + port, "Sec-Fetch-Site: same-origin"}, 403},
		{"a rebound name of an old browser", http.MethodGet, []string{firefox, "Host: evil.example:" + port}, 403},
		{"a rebound name of a program", http.MethodGet, []string{"Host: evil.example:" + port}, 403},
		// A browser that says nothing of where its request comes from: Safari before 16.4, and on plain HTTP.
		{"an old browser's image", http.MethodGet, []string{firefox}, 403},
		{"an old browser's link elsewhere", http.MethodGet, []string{"Referer: " + evil + "/page"}, 403},
		{"an old browser's tab", http.MethodGet, []string{firefox, p.cookie()}, 200},
		{"an old browser's form", http.MethodPost, []string{firefox, "Origin: " + p.base}, 200},
	} {
		a := p.ask(tt.method, "/x", tt.headers...)
		if a.StatusCode != tt.want {
			t.Errorf("%s: %d %s", tt.name, a.StatusCode, a.body)
		}
		if tt.want == 403 && len(a.body) < 20 {
			t.Errorf("%s: the refusal does not say what to do: %q", tt.name, a.body)
		}
	}
}

// A program of the user's that passes for a browser gets to know why it is refused.
func TestGuardProgramAsBrowser(t *testing.T) {
	p := openWith(t, true, nil, 0, ownUser)
	p.listener.SetTarget(p.target)
	if a := p.ask(http.MethodGet, "/x", "User-Agent: Mozilla/5.0"); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "User-Agent") {
		t.Errorf("a program: %d %s", a.StatusCode, a.body)
	}
	if a := p.ask(http.MethodGet, "/x", firefox, "Accept: text/html"); a.StatusCode != http.StatusForbidden || strings.Contains(a.body, "User-Agent") {
		t.Errorf("a browser: %d %s", a.StatusCode, a.body)
	}
}

// Where the kernel tells of another user, nothing lets in; where it tells of none, the cookie does.
func TestGuardOthers(t *testing.T) {
	for _, tt := range []struct {
		name string
		who  peer.Func
		want int // with the cookie
	}{{"another user", anotherUser, 403}, {"unknown", unknownUser, 200}, {"root", rootUser, 200}} {
		p := openWith(t, true, nil, 0, tt.who)
		p.listener.SetTarget(p.target)
		p.room.self = notRoot
		for _, headers := range [][]string{nil, {"Sec-Fetch-Site: none"}, {"Sec-Fetch-Site: same-origin", "Origin: " + p.base}} {
			if a := p.ask(http.MethodGet, "/x", headers...); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "cscs") {
				t.Errorf("%s %v: %d %s", tt.name, headers, a.StatusCode, a.body)
			} else if named := strings.Contains(a.body, "root"); named != (tt.name == "root") {
				t.Errorf("%s %v: root is named: %v: %s", tt.name, headers, named, a.body)
			}
		}
		if a := p.ask(http.MethodGet, "/x", p.cookie()); a.StatusCode != tt.want {
			t.Errorf("%s with the cookie: %d %s", tt.name, a.StatusCode, a.body)
		}
	}
}

// A server gets all cookies but those that let a tab into a session of cscs, this one or another.
func TestGuardKeepsServersCookies(t *testing.T) {
	p := openWith(t, true, nil, 0, ownUser)
	p.listener.SetTarget(p.target)
	for cookie, want := range map[string]bool{
		"cscs-theme=dark": true, "cscs-": true, "cscs-user-8888=1": true, "cscs-abcd2345=1": true, "cscs-abcd2345-=1": true, "cscs-abcd2345-x=1": true,
		"cscs-Abcd2345-8888=1": true, "cscs-abcd2345-8888-x=1": true, "cscs-abcd2345-123456=1": true, "a=cscs-abcd2345-8888": true,
		"cscs-abcd2345-8888=1": false, "cscs-zzzz7777-1=": false, "cscs-zzzz7777-65535": false, "cscs-abcd2345-8888 =1": false,
	} {
		a := p.ask(http.MethodGet, "/x", "Cookie: first=1; "+cookie+"; last=2")
		if has := strings.Contains(a.body, strings.TrimSpace(cookie)); a.StatusCode != http.StatusOK || has != want || !strings.Contains(a.body, "first=1; ") || !strings.Contains(a.body, "last=2") {
			t.Errorf("%s: the server got %d %q", cookie, a.StatusCode, a.body)
		}
	}
}

// One connection is looked up once, however many requests come over it, and each of them is judged.
func TestGuardKeepAlive(t *testing.T) {
	var asked atomic.Int32
	p := openWith(t, true, nil, 0, func(from, to netip.AddrPort) (int, error) { asked.Add(1); return ownUser(from, to) })
	p.listener.SetTarget(p.target)
	c := p.dial(t)
	b := bufio.NewReader(c)
	for n, tt := range []struct {
		header string
		want   int
	}{{"Sec-Fetch-Site: none", 200}, {"Sec-Fetch-Site: cross-site", 403}} {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+strings.TrimPrefix(p.base, "http://")+"\r\n"+tt.header+"\r\n\r\n")
		res, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("request %d: %d", n, res.StatusCode)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the kernel was asked %d times", n)
	}
}

// dial opens a connection that speaks for itself.
func (p *place) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// lead leads the port to a server of another protocol.
func (p *place) lead(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	p.listener.SetTarget(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
	})
}

// Other protocols than HTTP are for this user alone, also where the server speaks first.
func TestGuardOtherProtocols(t *testing.T) {
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	greets := func(c net.Conn) { _, _ = io.WriteString(c, "220 hello\n"); echo(c) }
	for _, tt := range []struct {
		name  string
		who   peer.Func
		serve func(net.Conn)
		says  string
		want  string
	}{
		{"redis", ownUser, echo, "*1\r\n$4\r\nPING\r\n", "*1\r\n$4\r\nPING\r\n"},
		{"TLS", ownUser, echo, "\x16\x03\x01\x00\x05hello", "\x16\x03\x01\x00\x05hello"},
		{"gRPC", ownUser, echo, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"a word without an end of the line", ownUser, echo, "HELLO", "HELLO"},
		{"a server that speaks first", ownUser, greets, "", "220 hello\n"},
		{"and is answered", ownUser, greets, "ehlo me\r\n", "220 hello\nehlo me\r\n"},
		{"another user", anotherUser, echo, "*1\r\n$4\r\nPING\r\n", ""},
		{"another user, gRPC", anotherUser, echo, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
		{"another user who waits", anotherUser, greets, "", ""},
		{"unknown", unknownUser, echo, "*1\r\n$4\r\nPING\r\n", ""},
		{"unknown who waits", unknownUser, greets, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := openWith(t, true, nil, 0, tt.who)
			p.lead(t, tt.serve)
			c := p.dial(t)
			_, _ = io.WriteString(c, tt.says)
			if tt.want != "" {
				got := make([]byte, len(tt.want))
				if n, err := io.ReadFull(c, got); err != nil || string(got) != tt.want {
					t.Errorf("got %q, %v", got[:n], err)
				}
				return
			}
			_ = c.(*net.TCPConn).CloseWrite()
			if got, _ := io.ReadAll(c); len(got) > 0 {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A browser opens connections in stock. What it sends over one later is judged as ever, though the server
// of another protocol might have spoken meanwhile.
func TestGuardConnectionInStock(t *testing.T) {
	p := openWith(t, true, nil, 0, ownUser)
	met := make(chan struct{}, 1)
	p.lead(t, func(c net.Conn) {
		select {
		case met <- struct{}{}:
		default:
		}
		if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"+req.Method[:2])
		}
	})
	for _, tt := range []struct{ header, want string }{{"Sec-Fetch-Site: cross-site", " 403 "}, {"Sec-Fetch-Site: none", " 200 "}} {
		c := p.dial(t)
		<-met // the server might speak first: the connection is carried
		// As long as it may be: longer than what is read at a time.
		_, _ = io.WriteString(c, "GET /"+strings.Repeat("x", 6<<10)+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(p.base, "http://")+"\r\nConnection: close\r\n"+tt.header+"\r\n\r\n")
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.Contains(line, tt.want) {
			t.Errorf("%s: %q, %v", tt.header, line, err)
		}
		for len(met) > 0 {
			<-met
		}
	}
}

// A browser cannot make its request look like another protocol's by its method or its length.
func TestGuardKnowsHTTP(t *testing.T) {
	p := openWith(t, true, nil, 0, unknownUser)
	p.lead(t, func(c net.Conn) { _, _ = io.WriteString(c, "SECRET") })
	for _, line := range []string{
		"GET / HTTP/1.1", "evil / HTTP/1.1", "X!#$%&'*+-.^_`|~9 /x HTTP/1.1", strings.Repeat("M", 5000) + " / HTTP/1.1",
		"GET /" + strings.Repeat("a", 100<<10) + " HTTP/1.1", "GET / HTTP/1.0", "OPTIONS * HTTP/1.1",
	} {
		c := p.dial(t)
		go func() { _, _ = io.WriteString(c, line+"\r\nHost: x\r\n\r\n") }()
		got, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(got), "HTTP/1.") || string(got[8:10]) != " 4" || strings.Contains(string(got), "SECRET") {
			t.Errorf("%.40q…: got %.80q", line, got)
		}
	}
}

// The server sees requests as if its user asked it on its node: under its own address. What it says of that
// address leads back to where the client has asked.
func TestGuardServersOwnAddress(t *testing.T) {
	p := openWith(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
		for _, name := range []string{"Origin", "Referer", "Destination", "X-Forwarded-For", "X-Forwarded-Host"} {
			_, _ = io.WriteString(w, name+"="+r.Header.Get(name)+" ")
		}
		_, _ = io.WriteString(w, "Host="+r.Host)
	}), 0, ownUser)
	p.listener.SetTarget(p.target)
	local := "localhost:" + strconv.Itoa(p.listener.Port())
	if a := p.ask(http.MethodGet, "/"); !strings.HasSuffix(a.body, "Host="+local) {
		t.Errorf("before the server's port is known: %s", a.body)
	}
	p.room.Serves(p.listener.Port(), 7777)
	const own = "localhost:7777"
	for _, base := range []string{p.base, "http://" + local, "http://[::1]:" + strconv.Itoa(p.listener.Port())} {
		a := p.ask("MOVE", "/a", "Host: "+strings.TrimPrefix(base, "http://"), "Origin: "+base, "Referer: "+base+"/x?y#z", "Destination: "+base+"/b", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: x")
		want := "Origin=http://" + own + " Referer=http://" + own + "/x?y#z Destination=http://" + own + "/b X-Forwarded-For=10.0.0.1 X-Forwarded-Host=x Host=" + own
		if a.body != want {
			t.Errorf("the server got\n%s, not\n%s", a.body, want)
		}
		for to, want := range map[string]string{
			"http://" + own + "/c?d":     base + "/c?d",
			"http://127.0.0.1:7777":      base,
			"/relative":                  "/relative",
			"https://" + own + "/":       "https://" + own + "/",
			"http://localhost:8888/":     "http://localhost:8888/",
			"http://elsewhere.example/x": "http://elsewhere.example/x",
		} {
			if a := p.ask(http.MethodGet, "/?to="+url.QueryEscape(to), "Host: "+strings.TrimPrefix(base, "http://")); a.Header.Get("Location") != want {
				t.Errorf("%s: sent on to %s, not %s", to, a.Header.Get("Location"), want)
			}
		}
	}
	if a := p.ask(http.MethodGet, "/", "Referer: http://elsewhere.example/", p.cookie()); a.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", a.StatusCode)
	}
}

// TestRoot: who types the address of a server that lives below a path is sent there, over whatever
// connection; all else that asks for "/" is the server's.
func TestRoot(t *testing.T) {
	p := openWith(t, false, nil, 0, ownUser)
	p.listener.SetTarget(p.target)
	port := strconv.Itoa(p.listener.Port())
	typed := []string{firefox, "Accept: text/html", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	for _, tt := range []struct {
		name, path string
		headers    []string
		want       bool
	}{
		{"typed", "/", typed, true},
		{"typed by name", "/", append([]string{"Host: localhost:" + port}, typed...), true},
		{"with a long cookie behind", "/", append([]string{"X-Cookie: " + strings.Repeat("c", 8<<10)}, typed...), true},
		{"an old browser", "/", []string{firefox, "Accept: text/html,*/*;q=0.8"}, true},
		{"its link elsewhere", "/", []string{firefox, "Accept: text/html,*/*;q=0.8", "Referer: " + evil + "/"}, false},
		{"another path", "/x", typed, false},
		{"a query", "/?x", typed, false},
		{"a program", "/", nil, false},
		{"a link on another page", "/", []string{firefox, "Accept: text/html", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, false},
		{"a frame", "/", []string{firefox, "Accept: text/html", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, false},
		{"fetched ahead", "/", append([]string{"Sec-Purpose: prefetch"}, typed...), false},
	} {
		a := p.ask(http.MethodGet, tt.path, tt.headers...)
		if sent := a.StatusCode == http.StatusFound && a.Header.Get("Location") == p.base+"/x/lab" && a.Header.Get("Cache-Control") == "no-store"; sent != tt.want || !sent && !strings.HasPrefix(a.body, "GET ") {
			t.Errorf("%s: %d %v %s", tt.name, a.StatusCode, a.Header, a.body)
		}
	}
	p.room.peer = anotherUser
	if a := p.ask(http.MethodGet, "/", typed...); a.StatusCode != http.StatusForbidden || a.Header.Get("Location") != "" {
		t.Errorf("another user: %d %v", a.StatusCode, a.Header)
	}
}

// A link that does not let in says why: its key is of another session, or its ticket was used or is too old.
func TestBadLinks(t *testing.T) {
	p := openWith(t, true, nil, 0, ownUser)
	in := p.room.ownPrefix() + "in?"
	said := map[string]string{}
	for name, query := range map[string]string{"key": "key=x", "ticket": "ticket=x", "neither": "else=x"} {
		a := p.ask(http.MethodGet, in+query)
		if a.StatusCode != http.StatusForbidden || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", name, a.StatusCode, a.Header)
		}
		said[name] = a.body
	}
	if !strings.Contains(said["key"], "key") || strings.Contains(said["key"], "once") || !strings.Contains(said["ticket"], "once") || said["neither"] == said["ticket"] {
		t.Errorf("told: %q", said)
	}
}
