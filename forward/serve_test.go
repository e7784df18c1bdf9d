package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
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

func TestThousandConnections(t *testing.T) {
	const n = 1000
	l, stop := start(t, testServer(t, echo))
	var open, all sync.WaitGroup
	open.Add(n)
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			errs <- func() error {
				network, host := "tcp4", "127.0.0.1"
				if i%2 == 1 {
					network, host = "tcp6", "::1"
				}
				c, err := net.DialTimeout(network, loopback(host, l.Port()), patience)
				if err != nil {
					open.Done()
					return err
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				msg := fmt.Sprintf("message %06d", i)
				_, err = io.WriteString(c, msg)
				b := make([]byte, len(msg))
				if err == nil {
					_, err = io.ReadFull(c, b)
				}
				// Each keeps its connection until all have theirs.
				open.Done()
				open.Wait()
				if err == nil && string(b) != msg {
					err = fmt.Errorf("sent %q, got %q", msg, b)
				}
				return err
			}()
		})
	}
	open.Wait()
	if s := l.Stats(); s.Total != n {
		t.Errorf("%d connections, want %d", s.Total, n)
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if s := l.Stats(); s.Total != n || s.Failed != 0 || s.Sent != s.Received {
		t.Errorf("%+v", s)
	}
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
	write(t, c, "GET / HTTP/1.1\r\n\r\n")
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

func TestEndClosesHeldAndOpen(t *testing.T) {
	l, stop := start(t, testServer(t, echo))
	open := dial(t, l)
	write(t, open, "x")
	readN(t, open, 1)
	l.SetTarget(nil)
	held := dial(t, l)
	eventually(t, "it waits", func() bool { return l.Stats().Held == 1 })
	stop()
	if got := readAll(t, held); got != "" {
		t.Errorf("the one that waited got %q", got)
	}
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the open one: %v, want a reset", err)
	}
	if _, err := net.Dial("tcp4", loopback("127.0.0.1", l.Port())); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new one: %v, want it refused", err)
	}
}

func TestCloseEndsServe(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	l.SetTarget(testServer(t, echo))
	served := make(chan error, 1)
	go func() { served <- l.Serve(t.Context()) }()
	c := dial(t, l)
	write(t, c, "x")
	readN(t, c, 1)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := l.Serve(t.Context()); !errors.Is(err, errServed) {
		t.Errorf("a second Serve: %v", err)
	}
}

func TestDrain(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		l, stop := start(t, testServer(t, echo), func(l *Listener) { l.Drain = patience })
		c := dial(t, l)
		write(t, c, "x")
		readN(t, c, 1)
		over := make(chan struct{})
		go func() { defer close(over); stop() }()
		eventually(t, "the port is given back", func() bool {
			again, err := Listen(l.Port())
			if err == nil {
				again.Close()
			}
			return err == nil
		})
		write(t, c, "still there")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, c); got != "still there" {
			t.Errorf("got %q", got)
		}
		<-over
	})
	t.Run("too late", func(t *testing.T) {
		l, stop := start(t, testServer(t, echo), func(l *Listener) { l.Drain = 10 * time.Millisecond })
		c := dial(t, l)
		write(t, c, "x")
		readN(t, c, 1)
		stop()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	})
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
func TestTargetSwapUnderLoad(t *testing.T) {
	l, _ := start(t, nil)
	targets := []Target{saying(t, "a"), nil, saying(t, "b"), nil}
	ctx, cancel := context.WithCancel(t.Context())
	var swaps, clients sync.WaitGroup
	var served atomic.Int64
	swaps.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			l.SetTarget(targets[i%len(targets)])
			// Every target gets something to do, if it is one.
			before := served.Load()
			for targets[i%len(targets)] != nil && ctx.Err() == nil && served.Load() == before {
				select {
				case <-time.After(100 * time.Microsecond):
				case <-ctx.Done():
				}
			}
		}
		l.SetTarget(targets[0])
	})
	for range 8 {
		clients.Go(func() {
			for range 50 {
				c, err := net.DialTimeout("tcp4", loopback("127.0.0.1", l.Port()), patience)
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
				served.Add(1)
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

func TestStatsOfOne(t *testing.T) {
	l, stop := start(t, testServer(t, func(c *net.TCPConn) {
		readFull := make([]byte, 5)
		_, _ = io.ReadFull(c, readFull)
		_, _ = io.WriteString(c, "an answer")
	}))
	opened := l.Stats()
	if opened.LastActivity.IsZero() {
		t.Error("no activity, not even the listener's own")
	}
	c := dial(t, l)
	write(t, c, "query")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readAll(t, c)
	stop()
	got := l.Stats()
	if !got.LastActivity.After(opened.LastActivity) {
		t.Errorf("last activity %v, not after %v", got.LastActivity, opened.LastActivity)
	}
	got.LastActivity = time.Time{}
	if want := (Stats{Total: 1, Sent: 5, Received: 9}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// flaky is a listener whose first accepts fail.
type flaky struct {
	net.Listener
	errs []error
}

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	return f.Listener.Accept()
}

func TestAcceptSurvives(t *testing.T) {
	var observed atomic.Int64
	l, _ := start(t, testServer(t, echo), func(l *Listener) {
		l.ls[0] = &flaky{l.ls[0], []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM}}
		l.Observe = func(err error) {
			var accept *AcceptError
			if errors.As(err, &accept) {
				observed.Add(1)
			}
		}
	})
	c := dial(t, l)
	write(t, c, "x")
	readN(t, c, 1)
	if n := observed.Load(); n != 5 {
		t.Errorf("%d errors observed, want 5", n)
	}
}

func TestAcceptFails(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	l.ls[1] = &flaky{l.ls[1], []error{syscall.EINVAL}}
	err = l.Serve(t.Context())
	var accept *AcceptError
	if !errors.As(err, &accept) || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve: %v, want an AcceptError", err)
	}
	// One address alone is none: the other's port is given back as well.
	again, err := Listen(l.Port())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
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

// A connection that is idle holds a small part of what it holds at work, even
// after work.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory is many times ours; the test without it counts")
	}
	const (
		n     = 100
		bytes = 1 << 20
		most  = 48 << 10 // of a connection, the ends of it in this test included
	)
	l, _ := start(t, testServer(t, func(c *net.TCPConn) {
		_ = newPattern().send(c, bytes)
		_, _ = c.Write([]byte("the end"))
		_, _ = io.Copy(io.Discard, c)
	}))
	before := inUse()
	for range n {
		c := dial(t, l)
		if err := newPattern().checkPart(c, bytes); err != nil {
			t.Fatal(err)
		}
		readN(t, c, len("the end"))
	}
	grown := (inUse() - before) / n
	t.Logf("%d KiB for each of %d connections", grown>>10, n)
	if grown > most {
		t.Errorf("%d bytes for each connection, more than %d", grown, most)
	}
}

// inUse is the memory of the heap and of the stacks, without what is to be
// collected.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
