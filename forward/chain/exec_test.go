package chain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// soon fails the test if f takes long.
func soon(t *testing.T, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	return waittest.Receive(t, 10*time.Second, what, done)
}

// TestExecCancel: a command that runs, and reads and writes, ends with its
// context, and nothing is written after that.
func TestExecCancel(t *testing.T) {
	ctrlC := errors.New("ctrl-c")
	release := make(chan struct{})
	ended := make(chan struct{}, 4)
	w := newWay(t, 2, func(_ int, c *sshtest.Config) {
		c.Exec = func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
			_, _ = io.WriteString(stdout, "started\n")
			if cmd == "deaf" {
				<-release
			} else {
				_, _ = io.Copy(io.Discard, stdin) // until the channel is closed
			}
			_, _ = io.WriteString(stdout, "late\n")
			ended <- struct{}{}
			return 0
		}
	})
	c := dial(t, w.hops, Options{})
	for _, cmd := range []string{"listening", "deaf"} {
		stdin, keepOpen := io.Pipe() // never written: its Read blocks
		output, stdout := io.Pipe()
		ctx, cancel := context.WithCancelCause(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Exec(ctx, cmd, stdin, stdout, nil) }()
		if _, err := io.ReadFull(output, make([]byte, len("started\n"))); err != nil {
			t.Fatal(err)
		}
		cancel(ctrlC)
		if err := soon(t, cmd, func() error { return <-ran }); !errors.Is(err, ctrlC) {
			t.Error(err)
		}
		_ = keepOpen.Close()
		if cmd == "deaf" {
			close(release)
		}
		<-ended
	}
	if err := c.Exec(t.Context(), "next", nil, nil, nil); err != nil {
		t.Errorf("the chain after it: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ctrlC)
	if err := c.Exec(ctx, "never", nil, nil, nil); !errors.Is(err, ctrlC) {
		t.Error(err)
	}
}

// TestExecStuckWriter: nobody reads the command's output any more.
func TestExecStuckWriter(t *testing.T) {
	w := newWay(t, 1, func(_ int, c *sshtest.Config) {
		c.Exec = func(_ string, _ io.Reader, stdout, _ io.Writer) int {
			_, _ = stdout.Write(make([]byte, 1<<20))
			return 0
		}
	})
	c := dial(t, w.hops, Options{})
	output, stdout := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Exec(ctx, "flood", nil, stdout, nil) }()
	if _, err := io.ReadFull(output, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := soon(t, "Exec", func() error { return <-ran }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = output.Close()
}

// TestCloseStuckWriter: nor does Close wait for an output that nobody takes.
func TestCloseStuckWriter(t *testing.T) {
	w := newWay(t, 1, func(_ int, c *sshtest.Config) {
		c.Exec = func(_ string, _ io.Reader, stdout, _ io.Writer) int {
			_, _ = stdout.Write(make([]byte, 1<<20))
			return 0
		}
	})
	c := dial(t, w.hops, Options{})
	output, stdout := io.Pipe()
	ran := make(chan error, 1)
	go func() { ran <- c.Exec(t.Context(), "flood", nil, stdout, nil) }()
	if _, err := io.ReadFull(output, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, "Close", c.Close); err != nil {
		t.Error(err)
	}
	if err := soon(t, "Exec", func() error { return <-ran }); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	_ = output.Close()
}

// TestExecBusyStdin: the command ends and its stdin does not.
func TestExecBusyStdin(t *testing.T) {
	c := dial(t, newWay(t, 1, nil).hops, Options{})
	stdin, keepOpen := io.Pipe()
	defer keepOpen.Close()
	if err := soon(t, "Exec", func() error { return c.Exec(t.Context(), "echo", stdin, nil, nil) }); err != nil {
		t.Error(err)
	}
	// Or its stdin fails.
	var out bytes.Buffer
	err := soon(t, "Exec", func() error {
		return c.Exec(t.Context(), "cat", io.MultiReader(strings.NewReader("some"), brokenReader{}), &out, nil)
	})
	if err != nil || out.String() != "some" {
		t.Errorf("%q, %v", &out, err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestExecErrors(t *testing.T) {
	c := dial(t, newWay(t, 1, nil).hops, Options{})
	if err := c.Exec(t.Context(), "echo x", nil, brokenWriter{}, nil); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("a writer that fails: %v", err)
	}

	c = dial(t, newWay(t, 1, func(_ int, c *sshtest.Config) { c.Exec = nil }).hops, Options{})
	var open *OpenError
	if err := c.Exec(t.Context(), "echo", nil, nil, nil); !errors.As(err, &open) || open.Hop != "ela" || open.Addr != "session" {
		t.Errorf("no sessions: %v", err)
	}
}

// TestExecLarge: 20 MB in and out, and stderr beside it.
func TestExecLarge(t *testing.T) {
	w := newWay(t, 2, func(_ int, c *sshtest.Config) {
		c.Exec = func(_ string, stdin io.Reader, stdout, stderr io.Writer) int {
			_, _ = io.Copy(io.MultiWriter(stdout, stderr), stdin)
			return 0
		}
	})
	c := dial(t, w.hops, Options{})
	data := pattern(20 << 20)
	var out, errOut bytes.Buffer
	if err := c.Exec(t.Context(), "", bytes.NewReader(data), &out, &errOut); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), data) || !bytes.Equal(errOut.Bytes(), data) {
		t.Error("not byte for byte")
	}
}

// pattern is n bytes in which a gap or a swap would show.
func pattern(n int) []byte {
	data := make([]byte, n)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}
