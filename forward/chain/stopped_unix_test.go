//go:build unix

package chain

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/stoptest"
)

// A process that was stopped for longer than a link may be silent asks its hosts before
// it gives them up.
func TestStoppedProcessKeepsLink(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		var asked atomic.Int64
		answered := make(chan struct{}, 100)
		w := newWay(t, 2, func(i int, c *sshtest.Config) {
			c.Request = func(r *ssh.Request) {
				if i == 1 && r.Type == "keepalive@openssh.com" {
					asked.Add(1)
					answered <- struct{}{}
				}
				_ = r.Reply(false, nil)
			}
		})
		opts := Options{Keepalive: 300 * time.Millisecond, Tolerance: 2 * time.Second}
		c := dial(t, w.hops, opts)
		for range 3 {
			stop(2 * (opts.Keepalive + opts.Tolerance))
			for before := asked.Load(); asked.Load() < before+2; {
				select {
				case <-answered:
				case <-c.Done():
					t.Fatalf("a healthy link was given up: %v", c.Err())
				}
			}
		}
		if err := c.Exec(t.Context(), "echo", nil, nil, nil); err != nil {
			t.Error(err)
		}
	})
}

// A process that was stopped for longer than a hop may take to let it in does not give
// up a host that lets it in as soon as the process continues.
func TestStoppedProcessDials(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		arrived, leave := make(chan struct{}), make(chan struct{})
		w := newWay(t, 1, func(_ int, c *sshtest.Config) {
			c.Account = func(string) error {
				close(arrived)
				<-leave
				return nil
			}
		})
		dialled := make(chan error, 1)
		go func() {
			c, err := Dial(t.Context(), w.hops, Options{Timeout: 2 * time.Second})
			if err == nil {
				err = c.Close()
			}
			dialled <- err
		}()
		<-arrived
		stop(4 * time.Second)
		close(leave)
		if err := <-dialled; err != nil {
			t.Errorf("a host that answers was given up: %v", err)
		}
	})
}

// What was written before Close arrives, even if the process is stopped before it is sent.
func TestStoppedProcessSendsTheRest(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		read, received := make(chan struct{}), make(chan int64, 1)
		w := newWay(t, 1, func(_ int, c *sshtest.Config) {
			c.Exec = func(command string, stdin io.Reader, _, _ io.Writer) int {
				if command != "count" {
					return 0
				}
				<-read
				n, _ := io.Copy(io.Discard, stdin)
				received <- n
				return 0
			}
		})
		c := dial(t, w.hops, Options{})
		conn, err := c.Start(t.Context(), "count", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		written := writeUntilFull(t, conn)
		_ = conn.Close()
		stop(lingerTimeout + 2*time.Second)
		for range 20 { // if the channel were closed now, the host would know after that
			if err := c.Exec(t.Context(), "true", nil, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		close(read)
		if n := <-received; n != written {
			t.Errorf("%d of %d bytes arrived", n, written)
		}
	})
}

// writeUntilFull writes to conn until it takes no more, and returns how much that was.
func writeUntilFull(t *testing.T, conn net.Conn) (written int64) {
	t.Helper()
	chunk := make([]byte, 256<<10)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := conn.Write(chunk)
		written += int64(n)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return written
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
