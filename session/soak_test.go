package session

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// Eight hours of a session whose connection is lost every ten minutes are 48 losses: the
// last leaves no more goroutines than the first.
func TestGoroutinesAfterManyLosses(t *testing.T) {
	a := newAlps(t)
	cfg := a.config()
	cfg.Lease = time.Hour
	l := a.start(cfg)
	ready := l.await(EventReady)
	first := 0
	for n := range 48 {
		a.ela.Cut()
		l.await(EventLost)
		l.await(EventRestored)
		if err := get(t, ready.URL); err != nil {
			t.Fatalf("after %d losses: %v", n+1, err)
		}
		switch n {
		case 2:
			first = settled(1 << 30)
		case 47:
			if last := settled(first); last > first {
				t.Errorf("%d goroutines after three losses, %d after 48\n%s", first, last, stacks())
			}
		}
	}
	l.endReady()
	a.nothingLeft()
}

// settled is the least number of goroutines within two seconds, or the first that is low
// enough: what the last loss has ended may still be ending.
func settled(enough int) int {
	least := runtime.NumGoroutine()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && (least > enough || enough == 1<<30); <-tick.C {
		least = min(least, runtime.NumGoroutine())
	}
	return least
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// The dial of the node, or the reader of events, learns of the loss of the chain before the
// chain itself has told of it: that ends no session.
func TestLossLearntBeforeTold(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	c, err := cfg.dialLogin(t.Context(), cfg.Chain)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := newSession(cfg, nil)
	s.login.chain, s.job.step = c, "1.0"
	loss := &chain.LostError{Hop: cfg.Hops[1].Name, Err: io.ErrUnexpectedEOF}
	for _, m := range []any{nodeDialled{login: c, err: loss}, submitDone{err: loss}} {
		if done, err := s.handleMessage(t.Context(), m); done || err != nil {
			t.Errorf("%T: the session ends: %v", m, err)
		}
	}
}
