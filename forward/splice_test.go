package forward

import (
	"io"
	"net"
	"strings"
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
