package forward

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The client ends first: what it sent arrives with its end, and the answer to
// it still comes back.
func TestHalfCloseByClient(t *testing.T) {
	target := testServer(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		_, _ = io.WriteString(c, strings.ToUpper(string(b)))
	})
	l, _ := start(t, target)
	c := dial(t, l)
	write(t, c, "question")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "QUESTION" {
		t.Errorf("got %q", got)
	}
}

// The server ends first: the client sees that, and can go on sending.
func TestHalfCloseByServer(t *testing.T) {
	got := make(chan string, 1)
	target := testServer(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "hello")
		_ = c.CloseWrite()
		b, _ := io.ReadAll(c)
		got <- string(b)
	})
	l, _ := start(t, target)
	c := dial(t, l)
	if got := readAll(t, c); got != "hello" {
		t.Errorf("client got %q", got)
	}
	write(t, c, "and ")
	write(t, c, "goodbye")
	c.Close()
	if got := <-got; got != "and goodbye" {
		t.Errorf("server got %q", got)
	}
}

// A reset is not an end.
func TestReset(t *testing.T) {
	t.Run("by server", func(t *testing.T) {
		target := testServer(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "half of it")
			_, _ = io.ReadFull(c, make([]byte, 1)) // the client has that
			_ = c.SetLinger(0)
		})
		l, _ := start(t, target)
		c := dial(t, l)
		if got := readN(t, c, len("half of it")); got != "half of it" {
			t.Errorf("got %q", got)
		}
		write(t, c, "!")
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	})
	t.Run("by client", func(t *testing.T) {
		got := make(chan error, 1)
		target := testServer(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "hello")
			_, err := io.Copy(io.Discard, c)
			got <- err
		})
		l, _ := start(t, target)
		c := dial(t, l)
		readN(t, c, len("hello"))
		resetConn(c)
		if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("server's read: %v, want a reset", err)
		}
	})
}

// hungUp is a connection as chain has it: what its far side said is still to
// be read when that takes no more.
type hungUp struct {
	net.Conn
	said     io.Reader
	writable chan struct{} // closed when a Write has failed
	once     sync.Once
}

func (h *hungUp) Write([]byte) (int, error) {
	h.once.Do(func() { close(h.writable) })
	return 0, syscall.EPIPE
}

func (h *hungUp) Read(p []byte) (int, error) {
	<-h.writable
	return h.said.Read(p)
}

func (h *hungUp) Close() error { return nil }

// A server that refuses an upload in the middle is heard nevertheless.
func TestLastWordsOfServer(t *testing.T) {
	const words = "HTTP/1.1 413 Request Entity Too Large\r\n\r\n"
	target := func() *hungUp {
		return &hungUp{said: strings.NewReader(words), writable: make(chan struct{})}
	}
	t.Run("to one that stops", func(t *testing.T) {
		l, _ := start(t, connTarget(target()))
		c := dial(t, l)
		for range 100 {
			write(t, c, strings.Repeat("x", 64<<10))
		}
		if got := readAll(t, c); got != words {
			t.Errorf("got %q", got)
		}
	})
	t.Run("to one that does not", func(t *testing.T) {
		l, _ := start(t, connTarget(target()))
		c := dial(t, l)
		sent := make(chan error, 1)
		go func() {
			for {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					sent <- err
					return
				}
			}
		}()
		if got := readAll(t, c); got != words {
			t.Errorf("got %q", got)
		}
		if err := <-sent; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
}
