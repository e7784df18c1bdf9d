package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A second is one more server of the user's on the node, which is this machine.
type second struct {
	ln   net.Listener
	port int
}

// further starts a session that forwards further ports, of which the test's own count.
func (a *alps) further(cfg Config) (*life, *ports) {
	p := &ports{t: a.t}
	cfg.Launch.ForwardNew = true
	cfg.acceptsPort = p.has
	return a.start(cfg), p
}

// ports are those that a test has opened on the node. The node of these tests is the
// laptop too, where a local port is a new socket of the user's like any other.
type ports struct {
	t   *testing.T
	mu  sync.Mutex
	all []int
}

func (p *ports) has(port int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.all, port)
}

// open listens, and serves each connection.
func (p *ports) open(addr string, serve func(net.Conn)) second {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock() // it counts from the first moment
	network := "tcp"
	if strings.HasPrefix(addr, "0.0.0.0") {
		network = "tcp4" // else Go makes it [::]
	}
	ln, err := new(net.ListenConfig).Listen(p.t.Context(), network, addr)
	if err != nil {
		p.t.Fatal(err)
	}
	s := second{ln, ln.Addr().(*net.TCPAddr).Port}
	p.all = append(p.all, s.port)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	p.t.Cleanup(func() { _ = ln.Close(); work.Wait() })
	return s
}

// answers is a web server.
func answers(c net.Conn) {
	_, _ = c.Read(make([]byte, 4096))
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

// speaksZMQ says what a ZeroMQ socket says first.
func speaksZMQ(c net.Conn) {
	_, _ = io.WriteString(c, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f")
	_, _ = io.Copy(io.Discard, c)
}

// forwards are the local ports that were told so far, by the port on the node.
func (l *life) forwards() map[string][]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := map[string][]int{}
	for _, e := range l.all {
		if e.Event == EventForward {
			told[e.Remote] = append(told[e.Remote], e.LocalPort)
		}
	}
	return told
}

// A web server that comes while the session is ready appears at a local port, one that
// speaks something else does not, and when it has gone its local port is given back.
func TestForwardNew(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, p := a.further(a.config())
	ready := l.await(EventReady)
	other := p.open("127.0.0.1:0", speaksZMQ)
	web := p.open("127.0.0.1:0", answers)
	e := l.await(EventForward)
	// The port itself is taken here, by the server: the next that is free it is.
	want := Event{Event: EventForward, URL: fmt.Sprintf("http://127.0.0.1:%d/", e.LocalPort), LocalPort: e.LocalPort, Remote: web.ln.Addr().String()}
	if e.URL != want.URL || e.Remote != want.Remote || e.LocalPort <= web.port || e.On != "nid001001" {
		t.Errorf("told %+v", e)
	}
	if err := get(t, e.URL); err != nil {
		t.Errorf("the further port: %v", err)
	}
	if err := get(t, ready.URL); err != nil {
		t.Errorf("the server's: %v", err)
	}
	began := time.Now()
	_ = web.ln.Close()
	waittest.Until(t, 30*time.Second, "the local port is given back", func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", e.LocalPort))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if d := time.Since(began); d < dynamicPortGrace {
		t.Errorf("given back after %v", d)
	}
	// What came before it would have been told by now.
	if told := l.forwards(); len(told) != 1 || len(told[other.ln.Addr().String()]) > 0 {
		t.Errorf("told %v", told)
	}
	l.endReady()
	a.nothingLeft()
}

// Without the flag nobody is told of it, nor asked.
func TestForwardNewIsAsked(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	p := &ports{t: t}
	cfg := a.config()
	cfg.acceptsPort = p.has
	l := a.start(cfg)
	l.await(EventReady)
	var asked sync.Map
	p.open("127.0.0.1:0", func(net.Conn) { asked.Store("by", true) })
	waittest.SpendRealTime(5 * time.Second) // for two looks of the runner's, nothing may come
	l.endReady()
	if _, yes := asked.Load("by"); yes || len(l.forwards()) > 0 {
		t.Errorf("asked: %v, told %v", yes, l.forwards())
	}
}

// A server that starts anew within the grace keeps its local port; connections that are
// made meanwhile wait for it. It is not told again.
func TestForwardNewComesBack(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, p := a.further(a.config())
	l.await(EventReady)
	web := p.open("127.0.0.1:0", answers)
	e := l.await(EventForward)
	for range 2 {
		_ = web.ln.Close()
		held := await(t, e.LocalPort)
		web = p.open(e.Remote, answers)
		_ = held.SetReadDeadline(time.Now().Add(20 * time.Second))
		if answer, err := io.ReadAll(held); err != nil || !strings.HasSuffix(string(answer), "ok") {
			t.Errorf("a connection that waited got %q, %v", answer, err)
		}
		_ = held.Close()
	}
	if told := l.forwards(); len(told) != 1 || len(told[e.Remote]) != 1 {
		t.Errorf("told %v", told)
	}
	l.endReady()
}

// await makes requests of a local port until one is neither answered nor turned down:
// the session has learnt that the server is gone. Until then a connection fails, as it
// would on the node.
func await(t *testing.T, port int) net.Conn {
	t.Helper()
	for range 100 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, err = c.Read(make([]byte, 1))
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return c
		}
		_ = c.Close()
	}
	t.Fatal("no connection waits")
	return nil
}

// Further ports go on over a new chain, and over a new connection to the node.
func TestForwardNewLost(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.Lease = time.Hour
	l, p := a.further(cfg)
	l.await(EventReady)
	first := p.open("127.0.0.1:0", answers)
	e := l.await(EventForward)
	for name, cut := range map[string]func(){"chain": a.ela.Cut, "node": a.node.Cut} {
		cut()
		l.await(EventLost)
		l.await(EventRestored)
		if err := get(t, e.URL); err != nil {
			t.Errorf("%s: after the connection came back: %v", name, err)
		}
		next := p.open("127.0.0.1:0", answers)
		n := l.await(EventForward)
		if n.Remote != next.ln.Addr().String() {
			t.Errorf("%s: told %+v", name, n)
		}
		if err := get(t, n.URL); err != nil {
			t.Errorf("%s: a new one: %v", name, err)
		}
	}
	if told := l.forwards(); len(told) != 3 || len(told[first.ln.Addr().String()]) != 1 {
		t.Errorf("told %v", told)
	}
	l.endReady()
	a.nothingLeft()
}

// A flood is cut off, which is told once; when one of those that are forwarded goes, one
// of the others gets its place.
func TestForwardNewFlood(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, p := a.further(a.config())
	l.await(EventReady)
	open := map[string]second{}
	for range maxDynamicPorts + 4 {
		s := p.open("127.0.0.1:0", answers)
		open[s.ln.Addr().String()] = s
	}
	var told []Event
	for range maxDynamicPorts {
		told = append(told, l.await(EventForward))
	}
	if w := l.await(EventWarning); !strings.Contains(w.Message, fmt.Sprint(maxDynamicPorts)) {
		t.Errorf("warning %q", w.Message)
	}
	_ = open[told[0].Remote].ln.Close()
	if e := l.await(EventForward); open[e.Remote].ln == nil {
		t.Errorf("told %+v", e)
	}
	l.endReady()
	if n := strings.Count(l.names(), EventForward); n != maxDynamicPorts+1 || len(l.forwards()) != n {
		t.Errorf("told %d: %v", n, l.forwards())
	}
	if n := strings.Count(l.names(), EventWarning); n != 1 {
		t.Errorf("%d warnings: %s", n, l.names())
	}
}

// A server that can be reached from outside the node is forwarded with a warning.
func TestForwardNewWide(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, p := a.further(a.config())
	l.await(EventReady)
	web := p.open("0.0.0.0:0", answers)
	e := l.await(EventForward)
	if want := fmt.Sprintf("127.0.0.1:%d", web.port); e.Remote != want {
		t.Errorf("told %+v, not %s", e, want)
	}
	if w := l.await(EventWarning); !strings.Contains(w.Message, "0.0.0.0") || !strings.Contains(w.Message, fmt.Sprint(web.port)) {
		t.Errorf("warning %q", w.Message)
	}
	if err := get(t, e.URL); err != nil {
		t.Error(err)
	}
}

// A server that takes its time is asked again; one that says nothing is left alone in
// the end, and does not keep the others waiting.
func TestForwardNewSlow(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, p := a.further(a.config())
	l.await(EventReady)
	for range maxAsking {
		p.open("127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	}
	var mu sync.Mutex
	tries := 0
	web := p.open("127.0.0.1:0", func(c net.Conn) {
		mu.Lock()
		tries++
		first := tries == 1
		mu.Unlock()
		if first {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		answers(c)
	})
	if e := l.await(EventForward); e.Remote != web.ln.Addr().String() {
		t.Errorf("told %+v", e)
	}
	if len(l.forwards()) != 1 {
		t.Errorf("told %v", l.forwards())
	}
}

// The server's own port is no further one, whatever the runner says; nor is any without the flag.
func TestForwardNewPasses(t *testing.T) {
	for _, tt := range []struct {
		on   bool
		addr string
	}{{true, "127.0.0.1:8888"}, {true, "[::1]:8888"}, {true, "127.0.0.1"}, {true, ""}, {false, "127.0.0.1:8889"}} {
		s := new(session)
		s.server.port, s.cfg.Launch.ForwardNew = 8888, tt.on
		s.handleNewSocket(t.Context(), tt.addr)
		if len(s.dynamicPorts.ports) > 0 {
			t.Errorf("%+v: %+v", tt, s.dynamicPorts.ports)
		}
	}
}

// A local port that is taken is passed over.
func TestForwardNewLocalPort(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, p := a.further(a.config())
	l.await(EventReady)
	web := p.open("127.0.0.1:0", answers)
	e := l.await(EventForward)
	taken, err := forward.ListenFrom(web.port)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if taken.Port() <= web.port || taken.Port() == e.LocalPort {
		t.Errorf("local port %d, the next is %d, the server's %d", e.LocalPort, taken.Port(), web.port)
	}
	res, err := http.Get(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if string(body) != "ok" {
		t.Errorf("body %q", body)
	}
}
