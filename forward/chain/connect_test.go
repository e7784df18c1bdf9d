package chain

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What was sent into a network that was away is not waited for when it is back.
func TestConnectAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(20*time.Second + 300*time.Millisecond)
		var open, waiting, most atomic.Int32
		conn, err := firstOf(t.Context(), func(ctx context.Context) (net.Conn, error) {
			if time.Now().Before(back) { // lost, and sent again after a minute
				most.Store(max(most.Load(), waiting.Add(1)))
				defer waiting.Add(-1)
				if err := pause(ctx, time.Minute); err != nil {
					return nil, err
				}
			}
			open.Add(1)
			near, far := net.Pipe()
			go func() { _, _ = far.Read(make([]byte, 1)); open.Add(-1) }()
			return near, nil
		})
		if err != nil || time.Since(back) > 500*time.Millisecond {
			t.Fatalf("%v after it was back: %v", time.Since(back), err)
		}
		if n := most.Load(); n > 6 {
			t.Errorf("%d waited for an answer at once", n)
		}
		synctest.Wait()
		if n := open.Load(); n != 1 {
			t.Errorf("%d are open", n)
		}
		_ = conn.Close()
		synctest.Wait()
	})
}

// An answer is an answer, also one that says no; and the end of ctx is the end.
func TestConnectRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		refused := errors.New("refused")
		_, err := firstOf(t.Context(), func(context.Context) (net.Conn, error) {
			tries.Add(1)
			sleep(2300 * time.Millisecond)
			return nil, refused
		})
		if n := tries.Load(); !errors.Is(err, refused) || n != 5 {
			t.Errorf("%v after %d tries", err, n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := firstOf(ctx, func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Many have their answer in one moment, as when ctx ends: one is taken, and what the others made
// is closed.
func TestConnectAtOnce(t *testing.T) {
	for range 500 {
		synctest.Test(t, func(t *testing.T) {
			var open atomic.Int32
			answered := time.Now().Add(10 * connectPause)
			conn, err := firstOf(t.Context(), func(context.Context) (net.Conn, error) {
				time.Sleep(time.Until(answered)) //nolint:forbidigo // a clock of the test's own
				open.Add(1)
				near, far := net.Pipe()
				go func() { _, _ = far.Read(make([]byte, 1)); open.Add(-1) }()
				return near, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := open.Load(); n != 1 {
				t.Errorf("%d are open", n)
			}
			_ = conn.Close()
			synctest.Wait()
		})
	}
}
