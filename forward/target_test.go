package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// connTarget is a target that is one connection.
func connTarget(c net.Conn) Target {
	return func(context.Context) (net.Conn, error) { return c, nil }
}

// saying is a server that says who it is and then echoes.
func saying(t *testing.T, what string) Target {
	return testServer(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, what)
		echo(c)
	})
}

func TestHeldUntilTarget(t *testing.T) {
	l, _ := start(t, nil)
	var conns []*net.TCPConn
	for range 10 {
		c := dial(t, l)
		write(t, c, "early")
		conns = append(conns, c)
	}
	eventually(t, "all wait", func() bool { return l.Stats().Held == 10 })
	l.SetTarget(testServer(t, echo))
	for _, c := range conns {
		if got := readN(t, c, len("early")); got != "early" {
			t.Errorf("got %q", got)
		}
	}
	// Away again: those that are carried stay, another waits.
	l.SetTarget(nil)
	late := dial(t, l)
	eventually(t, "it waits", func() bool { return l.Stats().Held == 1 })
	write(t, conns[0], "still")
	if got := readN(t, conns[0], len("still")); got != "still" {
		t.Errorf("got %q", got)
	}
	l.SetTarget(saying(t, "again"))
	if got := readN(t, late, len("again")); got != "again" {
		t.Errorf("got %q", got)
	}
}

func TestHeldTooLong(t *testing.T) {
	observed := make(chan error, 1)
	l, _ := start(t, nil, func(l *Listener) {
		l.Hold = 20 * time.Millisecond
		l.Observe = func(err error) { observed <- err }
	})
	c := dial(t, l)
	write(t, c, "\x00hello")
	// What it sent and nobody read must not make a reset of the end.
	if got := readAll(t, c); got != "" {
		t.Errorf("got %q", got)
	}
	var held *HoldError
	if err := <-observed; !errors.As(err, &held) {
		t.Errorf("observed %v, want a HoldError", err)
	}
	eventually(t, "it is counted", func() bool { return l.Stats().Failed == 1 })
}

func TestTargetFails(t *testing.T) {
	refused := errors.New("refused by the node")
	observed := make(chan error, 1)
	fail := func(context.Context) (net.Conn, error) { return nil, refused }
	l, _ := start(t, fail, func(l *Listener) { l.Observe = func(err error) { observed <- err } })
	c := dial(t, l)
	write(t, c, "GET / HTTP/1.1\r\n\r\n")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
	var target *TargetError
	if err := <-observed; !errors.As(err, &target) || !errors.Is(err, refused) {
		t.Errorf("observed %v, want a TargetError of %v", err, refused)
	}
	eventually(t, "it is counted", func() bool { return l.Stats().Failed == 1 })
}

// The loss of the way to the server shows first as a target that fails. The
// connection that finds that out is none the worse for it.
func TestTargetFailsAndIsReplaced(t *testing.T) {
	dialled := make(chan struct{}, 1)
	fail := func(context.Context) (net.Conn, error) {
		dialled <- struct{}{}
		return nil, errors.New("connection lost")
	}
	l, _ := start(t, fail)
	c := dial(t, l)
	<-dialled
	l.SetTarget(nil)
	eventually(t, "it waits", func() bool { return l.Stats().Held == 1 })
	l.SetTarget(saying(t, "restored"))
	if got := readN(t, c, len("restored")); got != "restored" {
		t.Errorf("got %q", got)
	}
}

// Targets come and go while connections do: each reaches one of them.
// A connection that is being opened over a way that is silent does not wait for that
// once there is another.
func TestTargetSilentAndIsReplaced(t *testing.T) {
	l, _ := start(t, nil)
	l.SetTarget(func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	c := dial(t, l)
	eventually(t, "it is being opened", func() bool { return l.Stats().Held == 1 })
	l.SetTarget(nil)
	l.SetTarget(saying(t, "another"))
	if got := readN(t, c, len("another")); got != "another" {
		t.Errorf("got %q", got)
	}
}

func TestTargetSwapUnderLoad(t *testing.T) {
	l, _ := start(t, nil)
	targets := []Target{saying(t, "a"), nil, saying(t, "b"), nil}
	ctx, cancel := context.WithCancel(t.Context())
	var swaps, clients sync.WaitGroup
	served := make(chan struct{}) // one value for each target
	swaps.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			l.SetTarget(targets[i%len(targets)])
			if targets[i%len(targets)] == nil {
				continue
			}
			select { // every target gets something to do
			case <-served:
			case <-ctx.Done():
			}
		}
		l.SetTarget(targets[0])
	})
	for range 8 {
		clients.Go(func() {
			for range 50 {
				c, err := net.DialTimeout("tcp4", joinHostPort("127.0.0.1", l.Port()), patience)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				_, err = io.WriteString(c, "x")
				b := make([]byte, 2)
				if err == nil {
					_, err = io.ReadFull(c, b)
				}
				if s := string(b); err != nil || s != "ax" && s != "bx" {
					t.Errorf("got %q, %v", b, err)
				}
				c.Close()
				select {
				case served <- struct{}{}:
				default:
				}
			}
		})
	}
	clients.Wait()
	cancel()
	swaps.Wait()
	if s := l.Stats(); s.Failed != 0 || s.Total != 400 {
		t.Errorf("%+v", s)
	}
}

// A target that hangs does not outlive the session.
func TestEndDuringDial(t *testing.T) {
	dialling := make(chan struct{})
	l, stop := start(t, func(ctx context.Context) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	c := dial(t, l)
	<-dialling
	stop()
	if got := readAll(t, c); got != "" {
		t.Errorf("got %q", got)
	}
	if s := l.Stats(); s.Failed != 1 {
		t.Errorf("%+v", s)
	}
}
