package forward

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

func TestMain(m *testing.M) {
	if port := os.Getenv(childPortEnv); port != "" {
		holdPort(port)
		return
	}
	if port := os.Getenv(childLookEnv); port != "" {
		n, _ := strconv.Atoi(port)
		_, _ = os.Stdout.WriteString(Holder(context.Background(), n))
		return
	}
	goleak.VerifyTestMain(m)
}

// patience bounds what must happen, on a slow machine too. Nothing waits for
// it to pass.
const patience = 30 * time.Second

// A testServer is what is forwarded: each connection goes to handle, and is
// closed when that returns.
func testServer(t testing.TB, handle func(*net.TCPConn)) Target {
	t.Helper()
	return dialTarget(serverAddr(t, handle))
}

func serverAddr(t testing.TB, handle func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []chan struct{}
		for {
			c, err := ln.Accept()
			if err != nil {
				break
			}
			over := make(chan struct{})
			conns = append(conns, over)
			go func() {
				defer close(over)
				defer c.Close()
				handle(c.(*net.TCPConn))
			}()
		}
		for _, over := range conns {
			<-over
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func dialTarget(addr string) Target {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// start serves a new listener until the test ends, or the returned function
// ends it. Nothing may be left of it then.
func start(t testing.TB, target Target, set ...func(*Listener)) (*Listener, func()) {
	t.Helper()
	if tt, ok := t.(*testing.T); ok {
		ignore := goleak.IgnoreCurrent()
		t.Cleanup(func() { goleak.VerifyNone(tt, ignore) })
	}
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range set {
		f(l)
	}
	l.SetTarget(target)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := waittest.Receive(t, patience, "the end of Serve", served); err != nil {
			t.Errorf("Serve: %v", err)
		}
		// Who dials by the listener itself may still be about to hear of its end.
		eventually(t, "nothing is open or held after Serve", func() bool {
			s := l.Stats()
			return s.Open == 0 && s.Held == 0
		})
	}
	t.Cleanup(stop)
	return l, stop
}

func dial(t testing.TB, l *Listener) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Port())), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func write(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v (after %d bytes)", err, len(b))
	}
	return string(b)
}

func readN(t testing.TB, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(b)
}

func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
}

// eventually asks again and again, for what another goroutine does unseen.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
