package session

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A carrier is a connection that does not end by itself.
type carrier struct {
	done chan struct{}
	err  error
}

func (c *carrier) Done() <-chan struct{} { return c.done }
func (c *carrier) Err() error            { return c.err }

// A carried is a carry under way: the node's end, and the client's two.
type carried struct {
	node    net.Conn
	in      *io.PipeWriter
	out     *io.PipeReader
	carrier *carrier
	over    chan error
}

func carrying(ctx context.Context, t *testing.T) *carried {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	c := &carried{node: far, in: inWrite, out: outRead, carrier: &carrier{done: make(chan struct{})}, over: make(chan error, 1)}
	go func() { c.over <- copyBothWays(ctx, c.carrier, near, inRead, outWrite) }()
	t.Cleanup(func() {
		for _, end := range []io.Closer{far, near, inRead, inWrite, outRead, outWrite} {
			_ = end.Close()
		}
	})
	return c
}

func (c *carried) ended(t *testing.T) error {
	t.Helper()
	return waittest.Receive(t, 10*time.Second, "the end of the copying", c.over)
}

func (c *carried) say(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCarry: each direction ends by itself, whichever is first.
func TestCarry(t *testing.T) {
	t.Run("the client's first", func(t *testing.T) {
		c := carrying(t.Context(), t)
		c.say(t, c.in, "question")
		_ = c.in.Close()
		if got := hear(t, c.node); got != "question" {
			t.Errorf("the node heard %q", got)
		}
		c.say(t, c.node, "answer")
		_ = c.node.Close()
		if got := hear(t, c.out); got != "answer" {
			t.Errorf("the client heard %q", got)
		}
		if err := c.ended(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("the node's first", func(t *testing.T) {
		c := carrying(t.Context(), t)
		c.say(t, c.node, "answer")
		_ = c.node.(*net.TCPConn).CloseWrite()
		if got := hear(t, c.out); got != "answer" {
			t.Errorf("the client heard %q", got)
		}
		c.say(t, c.in, "more")
		_ = c.in.Close()
		if got := hear(t, c.node); got != "more" {
			t.Errorf("the node heard %q", got)
		}
		if err := c.ended(t); err != nil {
			t.Error(err)
		}
	})
}

// TestCarryLost: a client that says nothing does not hold up the end.
func TestCarryLost(t *testing.T) {
	lost := errors.New("lost")
	c := carrying(t.Context(), t)
	c.carrier.err = lost
	close(c.carrier.done)
	if err := c.ended(t); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	c = carrying(ctx, t)
	cancel(ErrInterrupted)
	if err := c.ended(t); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v", err)
	}
}
