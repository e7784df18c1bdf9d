package session

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A cutLine is a way to the jump host on which all that is open stands still while it is cut, and nothing new opens.
type cutLine struct {
	*stall
	gates  []*sync.RWMutex
	away   atomic.Bool
	tried  atomic.Int32 // connections
	opened atomic.Int32 // of these
}

func newCutLine(t *testing.T, a *alps) *cutLine { return &cutLine{stall: newStall(t, a.ela.Addr())} }

func (l *cutLine) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.tried.Add(1)
	if l.away.Load() {
		return nil, syscall.EHOSTUNREACH
	}
	l.opened.Add(1)
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// cut cuts the line. What was open goes on when thaw is called, after the return.
func (l *cutLine) cut() (thaw func()) {
	l.away.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gates = append(l.gates, l.gate)
	held := append([]*sync.RWMutex{}, l.gates...)
	for _, g := range held {
		g.Lock()
	}
	l.gate = new(sync.RWMutex)
	return sync.OnceFunc(func() {
		for _, g := range held {
			g.Unlock()
		}
	})
}

// cutBriefly cuts the line for a while in which url is asked. TCP takes 1.5 s longer.
func (l *cutLine) cutBriefly(t *testing.T, url string) {
	t.Helper()
	thaw := l.cut()
	defer thaw()
	asked := make(chan error, 1)
	go func() { asked <- get(t, url) }()
	waittest.SpendRealTime(3 * time.Second) // the length of the cut
	l.away.Store(false)
	waittest.SpendRealTime(1500 * time.Millisecond) // TCP sends again so long after the return
	thaw()
	if err := <-asked; err != nil {
		t.Errorf("asked in the cut: %v", err)
	}
}

// openRequest sends half of a request. The returned function sends the rest and reads the answer.
func openRequest(t *testing.T, url string) (end func()) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := get(t, url); err != nil { // what was sent has arrived
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, err := io.WriteString(conn, "Connection: close\r\n\r\n")
		if answer, readErr := io.ReadAll(conn); err != nil || readErr != nil || !strings.HasPrefix(string(answer), "HTTP/1.") {
			t.Errorf("what was open is lost: %v, %q, %v", err, answer, readErr)
		}
	}
}

// TestCutThenStall: what is open outlives a short cut, after which another chain is made, and a long stall after that.
func TestCutThenStall(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	line := newCutLine(t, a)
	cfg := a.config()
	cfg.Hops[0].Addr = line.ln.Addr().String()
	cfg.Chain.Keepalive, cfg.Chain.NetDial = time.Second, line.dial
	l := a.start(cfg)
	url := l.await(EventReady).URL
	end := openRequest(t, url)
	waittest.SpendRealTime(2 * cfg.Chain.Keepalive) // for so long no other connection is tried
	line.cutBriefly(t, url)
	if n := line.opened.Load(); n != 3 {
		t.Errorf("%d connections to ela were opened after the cut", n)
	}
	waittest.SpendRealTime(3 * time.Second) // for 2 s the new chain tries no other connection
	thaw := line.cut()
	line.away.Store(false)
	waittest.SpendRealTime(9 * time.Second) // the length of the stall: the chain reports its silence after 6 s
	thaw()
	end()
	l.endReady()
	a.nothingLeft()
}

// TestSharerOfCutChains: what is open outlives two short cuts where other processes own the chains.
func TestSharerOfCutChains(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	line := newCutLine(t, a)
	cfg := a.config()
	cfg.Hops[0].Addr = line.ln.Addr().String()
	hops, dir := cfg.Hops, t.TempDir()
	var dials atomic.Int32
	cfg.Dial = func(ctx context.Context, opts chain.Options) (*share.Chain, error) {
		own := fmt.Sprintf("%s/%d", dir, dials.Add(1))
		if err := os.Mkdir(own, 0o700); err != nil {
			return nil, err
		}
		place := share.Rendezvous{Host: hops[len(hops)-1].Name, Dir: own, Key: []string{"x"}}
		keeps, err := share.Own(ctx, place, chain.Options{Keepalive: time.Second, NetDial: line.dial}, func(ctx context.Context, o chain.Options) (*chain.Chain, error) {
			return chain.Dial(ctx, hops, o)
		})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = keeps.Close() })
		return share.Dial(ctx, place, opts, func(context.Context, chain.Options) (*chain.Chain, error) { return nil, io.ErrClosedPipe })
	}
	l := a.start(cfg)
	url := l.await(EventReady).URL
	end := openRequest(t, url)
	for range 2 {
		waittest.SpendRealTime(2500 * time.Millisecond) // for 2 s no other connection is tried
		line.cutBriefly(t, url)
	}
	if n := dials.Load(); n < 2 {
		t.Errorf("%d chains were made: nothing was tested", n)
	}
	end()
	l.endReady()
}
