package chain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

func TestStart(t *testing.T) {
	c := dial(t, newWay(t, 3, nil).hops, Options{})
	conn, err := c.Start(t.Context(), "cat", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	sent := pattern(3 << 20)
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	_ = conn.Close()

	// At the end of standard output, all of standard error is there.
	for range 50 {
		var said bytes.Buffer
		conn, err := c.Start(t.Context(), "fail oh", &said)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 || said.String() != "oh" {
			t.Fatalf("%q, %v, it said %q", got, err, &said)
		}
		_ = conn.Close()
	}
}

// A standard error that nobody takes does not keep the data from coming.
func TestStartUnheard(t *testing.T) {
	w := newWay(t, 1, func(_ int, c *sshtest.Config) {
		c.Exec = func(_ string, _ io.Reader, stdout, stderr io.Writer) int {
			_, _ = stderr.Write(pattern(5 << 20)) // more than the channel's window
			_, _ = io.WriteString(stdout, "done")
			return 0
		}
	})
	conn, err := dial(t, w.hops, Options{}).Start(t.Context(), "", broken{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "done" {
		t.Errorf("%q, %v", got, err)
	}
}

// broken is a writer that takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

// Closing the connection ends the command, and ctx has no hold on it.
func TestStartClosed(t *testing.T) {
	ended := make(chan struct{})
	w := newWay(t, 2, func(_ int, c *sshtest.Config) {
		c.Exec = func(_ string, stdin io.Reader, _, _ io.Writer) int {
			defer close(ended)
			_, _ = io.Copy(io.Discard, stdin)
			return 0
		}
	})
	c := dial(t, w.hops, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := c.Start(ctx, "wait", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Errorf("after the end of ctx: %v", err)
	}
	_ = conn.Close()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read after Close: %v", err)
	}
	_ = soon(t, "the command", func() error { <-ended; return nil })
	if _, err := c.Start(ctx, "wait", io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("with a ctx that has ended: %v", err)
	}
}

func TestStartRefused(t *testing.T) {
	w := newWay(t, 1, func(_ int, c *sshtest.Config) { c.Exec = nil })
	var open *OpenError
	if _, err := dial(t, w.hops, Options{}).Start(t.Context(), "cat", io.Discard); !errors.As(err, &open) || !open.Prohibited() {
		t.Errorf("%v", err)
	}
}

// The loss of the chain is told as such, and is no end of the data.
func TestStartLost(t *testing.T) {
	w := newWay(t, 2, nil)
	c := dial(t, w.hops, Options{})
	conn, err := c.Start(t.Context(), "cat", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	w.servers[0].Cut()
	var lost *LostError
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &lost) || lost.Hop != "ela" {
		t.Errorf("a read: %v", err)
	}
	if _, err := c.Start(t.Context(), "cat", io.Discard); !errors.As(err, &lost) {
		t.Errorf("another: %v", err)
	}
}

// carried makes the last hop one that is not reached through the one before.
func overCarrier(w *way) {
	far := len(w.hops) - 1
	w.hops[far].Carrier = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", w.servers[far].Addr())
	}
	w.hops[far].Addr = "nowhere:22"
}

// A hop with a carrier of its own is a hop like any other.
func TestCarrier(t *testing.T) {
	w := newWay(t, 3, nil)
	overCarrier(w)
	c := dial(t, w.hops, Options{})
	if err := roundTrip(t.Context(), c, echo(t), pattern(1<<20)); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := c.Exec(t.Context(), "echo hello", nil, &out, nil); err != nil || out.String() != "hello\n" {
		t.Errorf("%q, %v", &out, err)
	}
	w.servers[2].Cut()
	var lost *LostError
	if err := soon(t, "the chain", func() error { <-c.Done(); return c.Err() }); !errors.As(err, &lost) || lost.Hop != "nid001001" {
		t.Errorf("%v", err)
	}
}

func TestCarrierFails(t *testing.T) {
	w := newWay(t, 2, nil)
	mine := errors.New("mine")
	w.hops[1].Carrier = func(context.Context) (net.Conn, error) { return nil, mine }
	if e := fails[*DialError](t, w, Options{}); e.Hop != "daint" || e.Phase != PhaseConnect || !errors.Is(e, mine) {
		t.Errorf("%+v", e)
	}
	w.hops[1].Carrier = func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, context.Cause(ctx) }
	if e := fails[*DialError](t, w, Options{Timeout: 500 * time.Millisecond}); !e.Timeout() {
		t.Errorf("%+v", e)
	}
	overCarrier(w)
	w.hops[1].HostKeys = PinnedKeys(sshtest.NewKey(t).PublicKey())
	if e := fails[*HostKeyError](t, w, Options{}); e.Hop != "daint" || e.Kind != HostKeyChanged {
		t.Errorf("%+v", e)
	}
}

// The two refusals that are told apart by more than words, and by words alone.
func TestOpenErrorKinds(t *testing.T) {
	for _, tt := range []struct {
		err                 OpenError
		refused, prohibited bool
	}{
		{OpenError{Message: "Connection refused", Err: &ssh.OpenChannelError{Reason: ssh.ConnectionFailed}}, true, false},
		{OpenError{Message: "No route to host", Err: &ssh.OpenChannelError{Reason: ssh.ConnectionFailed}}, false, false},
		{OpenError{Message: "open failed", Err: &ssh.OpenChannelError{Reason: ssh.Prohibited}}, false, true},
	} {
		if tt.err.Refused() != tt.refused || tt.err.Prohibited() != tt.prohibited {
			t.Errorf("%+v: refused %v, prohibited %v", tt.err, tt.err.Refused(), tt.err.Prohibited())
		}
	}
}
