package session

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A stall carries TCP connections to an address, and can make those that are open
// stand still while it lets new ones pass: a network that has forgotten them.
type stall struct {
	t    *testing.T
	ln   net.Listener
	to   string
	mu   sync.Mutex
	gate *sync.RWMutex // held for writing: still
}

func newStall(t *testing.T, to string) *stall {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stall{t: t, ln: ln, to: to, gate: new(sync.RWMutex)}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			s.mu.Lock()
			gate := s.gate
			s.mu.Unlock()
			for _, c := range [][2]net.Conn{{in, out}, {out, in}} {
				work.Go(func() {
					defer c[0].Close()
					defer c[1].Close()
					_, _ = io.Copy(gated{c[0], gate}, c[1])
				})
			}
		}
	})
	t.Cleanup(func() { _ = ln.Close(); work.Wait() })
	return s
}

// stop makes what is open now stand still, until the returned function is called.
func (s *stall) stop() (thaw func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.gate
	old.Lock()
	s.gate = new(sync.RWMutex)
	return sync.OnceFunc(old.Unlock)
}

type gated struct {
	net.Conn
	gate *sync.RWMutex
}

func (g gated) Write(p []byte) (int, error) {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.Conn.Write(p)
}

// The connection stalls, without an end that anybody could see: a second chain takes
// over long before the first is given up.
func TestStall(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	line := newStall(t, a.ela.Addr())
	cfg := a.config()
	cfg.Hops[0].Addr = line.ln.Addr().String()
	cfg.Chain.Keepalive = 500 * time.Millisecond
	l := a.start(cfg)
	ready := l.await(EventReady)
	thaw := line.stop()
	t.Cleanup(thaw)
	asked := make(chan error, 1)
	go func() { asked <- get(t, ready.URL) }() // nobody knows of the stall yet
	began := time.Now()
	if e := l.await(EventLost); e.Message != noAnswer {
		t.Errorf("lost: %+v", e)
	}
	l.await(EventRestored)
	if err := <-asked; err != nil {
		t.Errorf("asked in the stall: %v", err)
	}
	if d := time.Since(began); d > 15*time.Second {
		t.Errorf("took %v", d)
	}
	if err := get(t, ready.URL); err != nil {
		t.Errorf("over the second chain: %v", err)
	}
	thaw()
	if err := get(t, ready.URL); err != nil {
		t.Errorf("when the first has come back: %v", err)
	}
	l.endReady()
	a.nothingLeft()
}

// A stall costs what was open nothing, however long it stays open after that: the chain that
// stalled is kept for it.
func TestStallCostsNothing(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	line := newStall(t, a.ela.Addr())
	cfg := a.config()
	cfg.Hops[0].Addr = line.ln.Addr().String()
	cfg.Chain.Keepalive = 500 * time.Millisecond
	l := a.start(cfg)
	ready := l.await(EventReady)
	end := openRequest(t, ready.URL)
	thaw := line.stop()
	t.Cleanup(thaw)
	l.await(EventLost)
	l.await(EventRestored)
	thaw()
	if err := get(t, ready.URL); err != nil {
		t.Errorf("over the second chain: %v", err)
	}
	waittest.SpendRealTime(3 * inUseCheck) // while it is in use, no check ends it
	end()
	// When nothing is open over it any more, it goes.
	waittest.Until(t, 10*time.Second, "one connection to ela is left", func() bool { return a.ela.Conns() <= 1 })
	l.endReady()
	a.nothingLeft()
}

// After a cut, the connection that is open stands still until TCP sends again what was lost. The local port answers
// over another one, as soon as one can be made. It is not parallel, because half a second of real time tells the two ways
// to another connection apart.
func TestCutIsReplaced(t *testing.T) {
	a := newAlps(t)
	line := newCutLine(t, a)
	cfg := a.config()
	cfg.Hops[0].Addr = line.ln.Addr().String()
	cfg.Chain.Keepalive, cfg.Chain.NetDial = time.Second, line.dial
	l := a.start(cfg)
	ready := l.await(EventReady)
	waittest.SpendRealTime(2 * cfg.Chain.Keepalive) // for so long no other connection is tried
	thaw := line.cut()
	t.Cleanup(thaw)
	before := line.tried.Load()
	asked := make(chan error, 1)
	go func() { asked <- get(t, ready.URL) }()
	waittest.Until(t, 10*time.Second, "other connections are tried", func() bool { return line.tried.Load() >= before+3 })
	line.away.Store(false)
	began := time.Now()
	if err := <-asked; err != nil {
		t.Errorf("asked in the cut: %v", err)
	}
	if d := time.Since(began); d > 3*time.Second { // the usual report of a silence comes 3.5 s later at the earliest
		t.Errorf("answered %v after the return", d)
	}
	if n := line.opened.Load(); n != 3 { // one only shows that the network is back
		t.Errorf("%d connections to ela were opened", n)
	}
	thaw()
	waittest.Until(t, 10*time.Second, "one connection to ela is left", func() bool { return a.ela.Conns() <= 1 })
	l.endReady()
	a.nothingLeft()
}

// A node that does not answer any more is told, while the way there is well; and that it
// answers again.
func TestNodeStall(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	line := newStall(t, a.node.Addr())
	a.nodeLine = line.ln.Addr().String()
	cfg := a.config()
	cfg.Chain.Keepalive = 500 * time.Millisecond
	l := a.start(cfg)
	l.await(EventReady)
	thaw := line.stop()
	t.Cleanup(thaw)
	if e := l.await(EventLost); e.Host != "nid001001" || e.Message != noAnswer {
		t.Errorf("lost: %+v", e)
	}
	thaw()
	if e := l.await(EventRestored); e.Host != "nid001001" {
		t.Errorf("restored: %+v", e)
	}
	l.endReady()
	if n := strings.Count(l.names(), EventLost); n != 1 {
		t.Errorf("told %d times: %s", n, l.names())
	}
	a.nothingLeft()
}

// The connection has stalled when the user ends the session: the job is ended over a
// new one, long before the first is given up.
func TestInterruptWhileStalled(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	line := newStall(t, a.ela.Addr())
	cfg := a.config()
	cfg.Hops[0].Addr = line.ln.Addr().String()
	cfg.Chain.Keepalive = 500 * time.Millisecond
	l := a.start(cfg)
	l.await(EventReady)
	t.Cleanup(line.stop())
	l.interrupt(ErrInterrupted)
	began := time.Now()
	if err := l.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	a.nothingLeft()
}
