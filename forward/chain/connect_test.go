package chain

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// What was sent into a network that was away is not waited for when it is back.
func TestConnectAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(20*time.Second + 300*time.Millisecond)
		open := 0
		conn, err := firstOf(t.Context(), connectPause, func(ctx context.Context) (net.Conn, error) {
			if time.Now().Before(back) { // lost, and sent again after a minute
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			open++
			near, far := net.Pipe()
			go func() { _, _ = far.Read(make([]byte, 1)); open-- }()
			return near, nil
		})
		if err != nil || time.Since(back) > connectPause {
			t.Fatalf("%v after it was back: %v", time.Since(back), err)
		}
		if open != 1 {
			t.Errorf("%d are open", open)
		}
		_ = conn.Close()
		synctest.Wait()
	})
}

// An answer is an answer, also one that says no; and the end of ctx is the end.
func TestConnectRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, tries := errors.New("refused"), 0
		_, err := firstOf(t.Context(), connectPause, func(context.Context) (net.Conn, error) {
			tries++
			<-time.After(2500 * time.Millisecond)
			return nil, refused
		})
		if !errors.Is(err, refused) || tries != 3 {
			t.Errorf("%v after %d tries", err, tries)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := firstOf(ctx, connectPause, func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
