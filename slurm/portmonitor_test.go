package slurm

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// An eye is a Watch that runs on this machine.
type eye struct {
	*PortMonitor
	seen chan Listener
	stop context.CancelFunc
	done chan struct{}
}

func watch(t *testing.T, remote Remote, port int) *eye {
	t.Helper()
	e := &eye{PortMonitor: NewPortMonitor(port, time.Hour)}
	e.run(t, remote)
	return e
}

func (e *eye) run(t *testing.T, remote Remote) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	seen, done := make(chan Listener, 100), make(chan struct{})
	e.seen, e.stop, e.done = seen, stop, done
	go func() {
		defer close(done)
		_ = e.Run(ctx, remote, func(l Listener) error { seen <- l; return nil })
	}()
	t.Cleanup(func() { stop(); <-done })
}

func (e *eye) look(t *testing.T) Listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l, err := e.Probe(ctx, e.port)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func listen(t *testing.T, addr string) (l net.Listener, port int) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// closeListener closes l while the test binary starts no process. Until its exec, a process that starts has a copy of
// the listener, at which the kernel goes on listening.
func closeListener(l net.Listener) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	_ = l.Close()
}

// A look shows what is there when it is asked for, not what was.
func TestLook(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	l, port := listen(t, "127.0.0.1:0")
	e := watch(t, f, port)
	if s := e.look(t); !s.Ours() || s.Verdict != "ours" || s.Addr != l.Addr().String() {
		t.Errorf("seen: %+v", s)
	}
	for range 20 {
		closeListener(l)
		if s := e.look(t); s.Ours() || s.Verdict != "none" {
			t.Fatalf("seen after the end: %+v", s)
		}
		l, _ = listen(t, l.Addr().String())
		if s := e.look(t); !s.Ours() {
			t.Fatalf("seen when it listens again: %+v", s)
		}
	}
	closeListener(l)
	w, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	if s := e.look(t); s.Verdict != "wide" || s.Addr != l.Addr().String() || s.Bound != "0.0.0.0" {
		t.Errorf("seen on all addresses: %+v", s)
	}
	_ = w.Close()
}

// Looks that are asked for together are taken together.
func TestManyLooks(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	l, port := listen(t, "127.0.0.1:0")
	e := watch(t, f, port)
	e.look(t)
	began := time.Now()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if s := e.look(t); s.Addr != l.Addr().String() {
				t.Errorf("seen: %+v", s)
			}
		})
	}
	all.Wait()
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// A look that the end of the connection left unanswered is answered over the next.
func TestLookOverTheNextConnection(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	l, port := listen(t, "127.0.0.1:0")
	e := watch(t, f, port)
	e.look(t)
	e.stop()
	<-e.done
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := e.Probe(ctx, port); !errors.Is(err, gone) {
		t.Errorf("a look that nobody waits for: %v", err)
	}
	got := make(chan Listener)
	go func() { got <- e.look(t) }()
	e.run(t, f)
	if s := <-got; s.Addr != l.Addr().String() {
		t.Errorf("seen: %+v", s)
	}
}

// The node tells by itself what has changed.
func TestWatchTells(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	l, port := listen(t, "127.0.0.1:0")
	e := &eye{PortMonitor: NewPortMonitor(port, time.Second)}
	e.run(t, f)
	if s := <-e.seen; s.Verdict != "ours" {
		t.Errorf("seen: %+v", s)
	}
	_ = l.Close()
	if s := <-e.seen; s.Verdict != "none" {
		t.Errorf("seen: %+v", s)
	}
}

// vanishing is a remote whose client vanishes at some time, without an end of the connection.
type vanishing struct {
	Remote
	gone <-chan struct{}
}

func (v vanishing) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	return v.Remote.Exec(ctx, command, vanishingReader{stdin, v.gone, ctx.Done()}, stdout, stderr)
}

type vanishingReader struct {
	io.Reader
	gone, done <-chan struct{}
}

func (r vanishingReader) Read(p []byte) (int, error) {
	select {
	case <-r.gone:
		<-r.done
		return 0, io.EOF
	default:
		return r.Reader.Read(p)
	}
}

// The shell on the node ends when its client has vanished, also of a session whose directory it has never seen.
func TestLookEndsWithSilentClient(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	_, port := listen(t, "127.0.0.1:0")
	gone := make(chan struct{})
	e := &eye{PortMonitor: NewPortMonitor(port, time.Second)}
	e.Session, e.Runner, e.Lease = testID(t), 1, 2*time.Second
	e.run(t, vanishing{f, gone})
	e.look(t)
	waittest.SpendRealTime(2 * e.Lease) // for so long a client that is there keeps it
	select {
	case <-e.done:
		t.Error("it ends though the client is there")
	default:
	}
	close(gone)
	waittest.Receive(t, 20*time.Second, "the end without the client", e.done)
}
