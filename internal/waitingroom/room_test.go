package waitingroom

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// A place is a room at a local port, before a server.
type place struct {
	t        *testing.T
	room     *Room
	listener *forward.Listener
	base     string
	target   forward.Target
}

// open makes one. Its server answers with what it was asked.
func open(t *testing.T, protected bool, handler http.Handler, hold time.Duration) *place {
	t.Helper()
	// As on systems that do not tell whose process is at the other end.
	return openWith(t, protected, handler, hold, func(_, _ netip.AddrPort) (int, error) { return 0, peer.ErrUnknown })
}

// openWith is open with another answer to whose process is at the other end.
func openWith(t *testing.T, protected bool, handler http.Handler, hold time.Duration, who peer.Func) *place {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Host+" "+r.Header.Get("Cookie"))
		})
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	l, err := forward.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{ID: "abcd2345", Cluster: "daint", App: "jupyter", Hops: []string{"ela", "daint"}, Again: "cscs run-jupyter"})
	r.peer = who
	r.Begin(l.Port(), "/x/lab", "/x", protected, l.Dial)
	l.Room, l.Guarded = r, protected
	if hold > 0 {
		l.Hold = hold
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		r.Close()
	})
	return &place{t: t, room: r, listener: l, base: "http://127.0.0.1:" + strconv.Itoa(l.Port()),
		target: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
		}}
}

// an answer is one, and its body.
type answer struct {
	*http.Response
	body string
}

// ask asks as a program does; headers are "Name: value".
func (p *place) ask(method, path string, headers ...string) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res, string(body)}
}

// visit is ask as a browser does that is to show a page.
func (p *place) visit(path string, headers ...string) answer {
	p.t.Helper()
	return p.ask(http.MethodGet, path, append([]string{"Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none"}, headers...)...)
}

// cookie is what a tab has that has come by Enter's way.
func (p *place) cookie() string {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return "Cookie: " + p.room.cookieName() + "=" + p.room.cookie
}

// follow reads the events of a page. The function gives the next message.
func (p *place) follow(headers ...string) func() message {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+p.room.ownPrefix()+"events", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { res.Body.Close() })
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		p.t.Fatalf("status %d, %s", res.StatusCode, got)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return func() message {
		p.t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var m message
				if err := json.Unmarshal([]byte(data), &m); err != nil {
					p.t.Fatal(err)
				}
				return m
			}
		}
		p.t.Fatalf("the events have ended: %v", lines.Err())
		return message{}
	}
}

// contains fails the test unless the text has every one of the words.
func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in %s", w, text)
		}
	}
}

// A session's whole life, as an open tab sees it.
func TestLife(t *testing.T) {
	p := open(t, false, nil, 0)
	now := time.Now()
	a := p.visit("/anything?x=1")
	contains(t, a.body, "Connecting to daint", `data-room="/.cscs/abcd2345/"`, `data-known="false"`, `data-home=""`)
	if a.StatusCode != http.StatusServiceUnavailable || !a.Close || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %+v", a.Response)
	}
	contains(t, p.visit("/", p.cookie()).body, `data-known="true"`, `data-home="/x/lab"`)

	follow := p.follow(p.cookie())
	next := func() message {
		t.Helper()
		m := follow()
		if strings.Contains(m.Main+m.Said, "secret") {
			t.Errorf("the secret is in %+v", m)
		}
		return m
	}
	contains(t, next().Main, "Connecting to daint")
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	p.room.Event(session.Event{Event: session.EventConnecting, Time: at(0), Host: "ela"})
	p.room.Event(session.Event{Event: session.EventConnected, Time: at(1), Host: "ela"})
	start := at(3600)
	p.room.Event(session.Event{Event: session.EventConnected, Time: at(2), Host: "daint"})
	p.room.Event(session.Event{Event: session.EventQueued, Time: at(3), Job: "12", Reason: "waiting for <b>nodes</b>", Start: &start})
	m := next()
	for !strings.Contains(m.Main, "Waiting in the queue") {
		m = next()
	}
	contains(t, m.Main, "Job 12 waits: waiting for &lt;b&gt;nodes", "Expected to start", "ela → daint", "2 s")
	contains(t, m.Said, "Waiting in the queue. Expected to start")
	p.room.Event(session.Event{Event: session.EventGranted, Time: at(60), Job: "12", Node: "nid001001", Nodes: []string{"nid001001", "nid001002"}})
	contains(t, next().Main, "Starting Jupyter", "Job 12 on nid001001 and 1 more", "58 s")

	// What waits for the server is let in when it is there.
	admitted := make(chan answer, 1)
	go func() { admitted <- p.ask(http.MethodGet, p.room.ownPrefix()+"in", p.cookie()) }()
	p.room.Login([]string{"login=secret; Path=/x/"})
	p.listener.SetTarget(p.target)
	if a := <-admitted; a.StatusCode != http.StatusNoContent || a.Header.Get("Set-Cookie") != "login=secret; Path=/x/" {
		t.Errorf("let in with %+v", a.Response)
	}
	p.room.Event(session.Event{Event: session.EventReady, Time: at(70)})
	for m = next(); !m.There; m = next() {
	}
	if a := p.visit("/x/lab"); !strings.HasPrefix(a.body, "GET /x/lab ") {
		t.Errorf("the server's page is %s", a.body)
	}

	p.listener.SetTarget(nil)
	p.room.Event(session.Event{Event: session.EventLost, Time: at(80), Host: "ela", Message: "it does not answer"})
	p.room.Event(session.Event{Event: session.EventLost, Time: at(81), Host: "daint", Message: "connection to daint lost: EOF"})
	p.room.Event(session.Event{Event: session.EventRestored, Time: at(82), Host: "ela"})
	contains(t, p.visit("/x/lab/tree/a").body, "The connection to daint is lost: EOF.")
	p.room.Event(session.Event{Event: session.EventRestored, Time: at(83), Host: "daint"})
	contains(t, p.visit("/x/lab/tree/a").body, "Waiting for Jupyter", "does not take connections")
	p.room.Event(session.Event{Event: session.EventLost, Time: at(84), Host: "ela", Message: "it does not answer"})
	contains(t, p.visit("/x/lab/tree/a").body, "Reconnecting", "The connection to ela is lost: it does not answer.", "Job 12 goes on")
	p.room.Event(session.Event{Event: session.EventError, Time: at(90), Message: "the server ended with 3", Hint: "do this", Log: []string{"\x1b[31mKABOOM\x1b[0m", "at http://localhost:1/?token=TOKEN123", "  last"}})
	p.room.Event(session.Event{Event: session.EventEnded, Time: at(91), Reason: "the server ended with 3"})
	for m = next(); !m.Over; m = next() {
	}
	contains(t, m.Main, "Ended by an error", "The server ended with 3.", "Do this.", "KABOOM\nat http://localhost:1/?token=...\n  last\n", "cscs run-jupyter")
	if m.Class != "failed" {
		t.Errorf("class %q", m.Class)
	}
	// A stranger's tab sees why, and no more than that.
	contains(t, p.visit("/").body, "Ended by an error")
	if a := p.visit("/"); strings.Contains(a.body, "KABOOM") || strings.Contains(a.body, "cscs run-jupyter") {
		t.Errorf("one without the cookie sees %s", a.body)
	}
}

// A page that was given out as the server came asks for the rest, and gets it.
func TestPageAtTheLastMoment(t *testing.T) {
	p := open(t, false, nil, 0)
	p.visit("/x/lab", p.cookie())
	p.room.Login([]string{"login=1"})
	p.listener.SetTarget(p.target)
	if a := p.ask(http.MethodGet, p.room.ownPrefix()+"in", p.cookie()); a.StatusCode != http.StatusNoContent || a.Header.Get("Set-Cookie") != "login=1" {
		t.Errorf("let in with %+v", a.Response)
	}
	if m := p.follow(p.cookie())(); !m.There {
		t.Errorf("told %+v", m)
	}
	if a := p.visit("/x/lab"); !strings.HasPrefix(a.body, "GET /x/lab ") {
		t.Errorf("a navigation: %s", a.body)
	}
	p.room.changeState(func() { p.room.expects = time.Time{} })
	if a := p.ask(http.MethodGet, p.room.ownPrefix()+"in", p.cookie()); !strings.HasPrefix(a.body, "GET /.cscs/") {
		t.Errorf("later, the port is the server's: %s", a.body)
	}
}

// A warning of a connection goes when that is back.
func TestStoryWarnings(t *testing.T) {
	var s pageState
	for _, e := range []session.Event{{Event: session.EventLost, Host: "ela"}, {Event: session.EventWarning, Message: "cannot connect again"}} {
		s.Apply(e)
	}
	if v := s.buildView(true, time.Now()); v.Warning != "Cannot connect again." {
		t.Errorf("lost: %q", v.Warning)
	}
	s.Apply(session.Event{Event: session.EventRestored, Host: "ela"})
	if v := s.buildView(true, time.Now()); v.Warning != "" {
		t.Errorf("restored: %q", v.Warning)
	}
}

func TestJudge(t *testing.T) {
	p := open(t, false, nil, 0)
	nav := "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n"
	for _, tt := range []struct {
		began string
		want  forward.Verdict
	}{
		{"", forward.Undecided},
		{"G", forward.Undecided},
		{"GET /lab HTTP/1.1\r\nHost: x\r\n", forward.Undecided},
		{"GET /lab HTTP/1.1\r\nHost: x\r\n" + nav, forward.Mine},
		{"GET /lab HTTP/1.1\r\nHost: x\r\nSec-Purpose: prefetch\r\n" + nav, forward.Yours},
		{"GET /lab HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" + nav, forward.Yours},
		{"POST /lab HTTP/1.1\r\nHost: x\r\n" + nav, forward.Yours},
		// A browser without Fetch Metadata, and what looks a little like one.
		{"GET /lab HTTP/1.1\r\nHost: x\r\nAccept: text/html, text/*;q=0.5, image/*\r\n\r\n", forward.Mine},
		{"GET /lab HTTP/1.1\r\nHost: x\r\nAccept: application/json, text/html\r\n\r\n", forward.Yours},
		{"GET /lab HTTP/1.1\r\nHost: x\r\nAccept: text/html, */*; q=0.01\r\nX-Requested-With: XMLHttpRequest\r\n\r\n", forward.Yours},
		{"GET /lab HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nSec-Fetch-Mode: cors\r\n\r\n", forward.Yours},
		{"POST /lab HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n", forward.Yours},
		{"GET /lab HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nSec-Fetch-Mode: navigate\r\n\r\n", forward.Yours},
		{"GET /lab HTTP/1.1\r\nHost: x\r\n" + strings.Replace(nav, "document", "iframe", 1), forward.Yours},
		{"GET /.cscs/abcd2345/events HTTP/1.1\r\nHost: x\r\n\r\n", forward.Mine},
		{"GET /.cscs/other/events HTTP/1.1\r\nHost: x\r\n\r\n", forward.Yours},
		{"GET \r\n\r\n", forward.Yours},
		{"PUT", forward.Yours},
		{"\x16\x03\x01", forward.Yours},
		{"SSH-2.0", forward.Yours},
	} {
		if got := p.room.Judge([]byte(tt.began)); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.began, got, tt.want)
		}
	}
}

// Whose page may ask for what, with the cookie and without.
func TestRefusals(t *testing.T) {
	p := open(t, false, nil, 0)
	in := p.room.ownPrefix() + "in"
	for name, a := range map[string]answer{
		"no cookie":          p.ask(http.MethodGet, in),
		"wrong cookie":       p.ask(http.MethodGet, in, p.cookie()+"x"),
		"rebound":            p.ask(http.MethodGet, in, p.cookie(), "Host: evil.example:"+strconv.Itoa(p.listener.Port())),
		"rebound page":       p.visit("/", "Host: evil.example:"+strconv.Itoa(p.listener.Port())),
		"another port":       p.visit("/", "Host: 127.0.0.1:1"),
		"no port":            p.visit("/", "Host: 127.0.0.1"),
		"another site":       p.ask(http.MethodGet, in, p.cookie(), "Sec-Fetch-Site: cross-site"),
		"another port's":     p.ask(http.MethodGet, in, p.cookie(), "Sec-Fetch-Site: same-site"),
		"another origin":     p.ask(http.MethodGet, in, p.cookie(), "Origin: http://evil.example"),
		"no origin's events": p.ask(http.MethodGet, p.room.ownPrefix()+"events", p.cookie(), "Origin: null"),
		"an unknown link":    p.ask(http.MethodGet, in+"?ticket=", p.cookie()),
		"a key":              p.ask(http.MethodGet, in+"?key="+p.room.key, p.cookie()), // it is not protected
	} {
		if a.StatusCode != http.StatusForbidden || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: status %d, %s", name, a.StatusCode, a.body)
		}
	}
	if a := p.ask(http.MethodGet, p.room.ownPrefix()+"else"); a.StatusCode != http.StatusNotFound {
		t.Errorf("another path of ours: %d", a.StatusCode)
	}
	// Where the kernel says whose process it is, another user's gets nothing at all.
	p.room.peer = func(_, _ netip.AddrPort) (int, error) { return os.Getuid() + 54321, nil }
	for _, a := range []answer{p.visit("/", p.cookie()), p.ask(http.MethodGet, p.room.ownPrefix()+"events", p.cookie()), p.ask(http.MethodGet, in, p.cookie())} {
		if a.StatusCode != http.StatusForbidden || strings.Contains(a.body, "daint") {
			t.Errorf("another user: status %d, %s", a.StatusCode, a.body)
		}
	}
}

// The one page has nothing from elsewhere in it, and its policy lets its own script run alone.
func TestPageIsWhole(t *testing.T) {
	p := open(t, false, nil, 0)
	a := p.visit("/")
	for _, word := range []string{" src=", "@import", "url(", "https://"} {
		if strings.Contains(a.body, word) {
			t.Errorf("the page has %q in it", word)
		}
	}
	if got := strings.ReplaceAll(a.body, "http://www.w3.org/2000/svg", ""); strings.Contains(got, "http://") {
		t.Error("the page leads elsewhere")
	}
	contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "frame-ancestors 'none'")
}

// A protected session lets in the tab that has come by the ticket, once, or by the key.
func TestProtected(t *testing.T) {
	p := open(t, true, nil, 0)
	p.listener.SetTarget(p.target)
	if a := p.ask(http.MethodGet, "/data"); a.StatusCode != http.StatusForbidden {
		t.Errorf("without a cookie: %d", a.StatusCode)
	}
	way := p.room.Enter()
	if len(way.Cookies) != 0 {
		t.Errorf("cookies %q", way.Cookies)
	}
	u, err := url.Parse(way.URL)
	if err != nil {
		t.Fatal(err)
	}
	a := p.visit(u.RequestURI(), "Sec-Purpose: prefetch")
	if a.StatusCode != http.StatusForbidden {
		t.Errorf("fetched ahead: %d", a.StatusCode)
	}
	a = p.visit(u.RequestURI())
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != p.base+"/x/lab" || "Cookie: "+strings.Split(a.Header.Get("Set-Cookie"), ";")[0] != p.cookie() {
		t.Errorf("let in with %+v", a.Response)
	}
	if a := p.visit(u.RequestURI()); a.StatusCode != http.StatusForbidden {
		t.Errorf("the ticket is good twice: %d", a.StatusCode)
	}
	link, err := url.Parse(p.room.Link("http://127.0.0.1:1/x/lab?token=x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if a := p.visit(link.RequestURI()); a.StatusCode != http.StatusSeeOther {
			t.Errorf("the link: %d", a.StatusCode)
		}
	}
	// The server sees the request as it was, but for our cookie.
	if a := p.ask(http.MethodPut, "/a%2Fb?c=%20", p.cookie()+"; own=1; cscs-another2-8888=secret; other=\"2\"", "Origin: "+p.base); a.body != "PUT /a%2Fb?c=%20 localhost:"+strconv.Itoa(p.listener.Port())+" own=1; other=\"2\"" {
		t.Errorf("the server got %q", a.body)
	}
	port := strconv.Itoa(p.listener.Port())
	for name, a := range map[string]answer{
		"another origin": p.ask(http.MethodPost, "/", p.cookie(), "Origin: http://127.0.0.1:1"),
		"no origin":      p.ask(http.MethodPost, "/", p.cookie(), "Origin: null"),
		"rebound":        p.ask(http.MethodGet, "/", p.cookie(), "Host: evil.example:"+port),
		"an image":       p.ask(http.MethodGet, "/", p.cookie(), "Sec-Fetch-Site: same-site"),
		"a link":         p.visit("/", p.cookie(), "Sec-Fetch-Site: cross-site"),
		"no cookie":      p.visit("/"),
	} {
		if a.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	if a := p.visit("/y?z", "Host: localhost:"+port); a.StatusCode != http.StatusTemporaryRedirect || a.Header.Get("Location") != p.base+"/y?z" {
		t.Errorf("localhost: %+v", a.Response)
	}
	// While it is lost, its tab gets the page; a stranger's does not.
	p.listener.SetTarget(nil)
	if a := p.visit("/x/lab", p.cookie()); a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("lost: %d", a.StatusCode)
	}
	if a := p.visit("/x/lab"); a.StatusCode != http.StatusForbidden {
		t.Errorf("lost, a stranger: %d", a.StatusCode)
	}
}

// The target of a request arrives byte for byte, be it that net/url would write it another way.
func TestProtectedTarget(t *testing.T) {
	p := open(t, true, nil, 0)
	p.listener.SetTarget(p.target)
	for _, target := range []string{"/a?b=1;c=2", "/a?100%", "/a?q=%zz&r=1", "/a?", "/a?b=1&c=2", "/a%2Fb", "/a|b^c?x|y", "/a\"b\"", "//a//b", "/a/../b/.", "/*"} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(p.base, "http://")+"\r\n"+p.cookie()+"\r\nConnection: close\r\n\r\n")
		_ = c.SetDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(c)
		_ = c.Close()
		if _, body, _ := strings.Cut(string(got), "\r\n\r\n"); !strings.HasPrefix(body, "GET "+target+" localhost:") {
			t.Errorf("%s: the server got %q, %v", target, body, err)
		}
	}
}

// What has waited in vain at a protected port is told so, and a ticket has its time.
func TestProtectedWaits(t *testing.T) {
	p := open(t, true, nil, 20*time.Millisecond)
	at := time.Now()
	p.room.Event(session.Event{Event: session.EventQueued, Time: at, Job: "12"})
	a := p.ask(http.MethodGet, "/data", p.cookie())
	if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %+v", a.Response)
	}
	contains(t, a.body, "waiting in the queue")
	ts := tickets{}
	now := time.Now()
	k := ts.issueTicket(now)
	if ts.useTicket(k, now.Add(31*time.Second)) {
		t.Error("a ticket is good after its time")
	}
	if k = ts.issueTicket(now); ts.useTicket("", now) || !ts.useTicket(k, now.Add(29*time.Second)) || ts.useTicket(k, now) {
		t.Error("a ticket is not good once")
	}
}

// A program that has waited in vain is told what there is to wait for.
func TestAbsent(t *testing.T) {
	p := open(t, false, nil, 20*time.Millisecond)
	told := func(want string) {
		t.Helper()
		if a := p.ask(http.MethodGet, "/data"); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, want) || !strings.HasSuffix(a.body, ".\n") {
			t.Errorf("%d %q, want %q", a.StatusCode, a.body, want)
		}
	}
	told("connecting to daint")
	p.room.Event(session.Event{Event: session.EventQueued, Job: "12"})
	told("waiting in the queue")
	p.room.Event(session.Event{Event: session.EventGranted, Job: "12", Node: "nid001001"})
	told("starting Jupyter")
	p.listener.SetTarget(p.target)
	p.listener.SetTarget(nil)
	told("There is no way to the server at present")
	p.room.Event(session.Event{Event: session.EventEnding, Reason: "interrupted"})
	told("The session is ending")
}

// A command that a page shows has a heading that says what it does.
func TestHeadingOfTheCommand(t *testing.T) {
	p := open(t, true, nil, 0)
	a := p.visit("/")
	contains(t, a.body, "<code>cscs open abcd2345</code>", "To open the session")
	if a.StatusCode != http.StatusForbidden || strings.Contains(a.body, "start again") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for _, c := range []struct {
		want   string
		says   string
		events []session.Event
	}{
		{"To start again", "Interrupted: job 3 is gone.", []session.Event{{Event: session.EventEnded, Reason: "interrupted: job 3 is gone"}}},
		{"To attach to it", "Left running.", []session.Event{{Event: session.EventDetached}, {Event: session.EventEnded, Reason: "left running"}}},
		{"To attach to it", "<h1>Left running</h1>", []session.Event{{Event: session.EventQueued, Job: "3", Kept: true}, {Event: session.EventGranted, Job: "3"}, {Event: session.EventDetached}, {Event: session.EventEnded}}},
		{"To attach to it", "<h1>Left in the queue</h1>", []session.Event{{Event: session.EventQueued, Job: "3", Kept: true}, {Event: session.EventDetached, Kept: true}, {Event: session.EventEnded}}},
	} {
		s := pageState{cfg: p.room.cfg}
		for _, e := range c.events {
			s.Apply(e)
		}
		v := s.buildView(true, time.Now())
		contains(t, v.renderMain(), c.want, "<code>cscs ", c.says)
	}
}

// A websocket goes through, both ways, and ends with its server.
func TestProtectedWebsocket(t *testing.T) {
	p := open(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = b.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = b.Flush()
		line, _ := b.ReadString('\n')
		_, _ = b.WriteString("heard " + line)
		_ = b.Flush()
	}), 0)
	p.listener.SetTarget(p.target)
	speak := func(header string) (status, said string) {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: "+strings.TrimPrefix(p.base, "http://")+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+header+"\r\n")
		b := bufio.NewReader(c)
		res, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusSwitchingProtocols {
			return res.Status, ""
		}
		_, _ = io.WriteString(c, "hello\n")
		all, _ := io.ReadAll(b)
		return res.Status, string(all)
	}
	if status, said := speak(p.cookie() + "\r\nOrigin: " + p.base + "\r\n"); said != "heard hello\n" {
		t.Errorf("%s, %q", status, said)
	}
	if status, _ := speak(p.cookie() + "\r\nOrigin: http://127.0.0.1:1\r\n"); !strings.HasPrefix(status, "403") {
		t.Errorf("from a page elsewhere: %s", status)
	}
	if status, _ := speak(""); !strings.HasPrefix(status, "403") {
		t.Errorf("without the cookie: %s", status)
	}
}

// A further port lets in who is in at the first.
func TestBeside(t *testing.T) {
	p := open(t, true, nil, 0)
	l, err := forward.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	l.Room, l.Guarded = p.room.Beside(l.Port(), l.Dial), true
	l.SetTarget(p.target)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	first := p.base
	p.base = "http://127.0.0.1:" + strconv.Itoa(l.Port())
	if a := p.visit("/", p.cookie()); !strings.HasPrefix(a.body, "GET / localhost:"+strconv.Itoa(l.Port())) {
		t.Errorf("with the cookie: %s", a.body)
	}
	if a := p.visit("/"); a.StatusCode != http.StatusForbidden {
		t.Errorf("without: %d", a.StatusCode)
	}
	if a := p.visit("/", p.cookie(), "Host: "+strings.TrimPrefix(first, "http://")); a.StatusCode != http.StatusForbidden {
		t.Errorf("under the first one's name: %d", a.StatusCode)
	}
}
