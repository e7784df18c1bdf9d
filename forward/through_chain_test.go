package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// newChain is a way to a compute node: three SSH connections, each in the one
// before.
func newChain(t *testing.T) *chain.Chain {
	t.Helper()
	c, _ := newCutChain(t)
	return c
}

// newCutChain is one whose hosts can be cut off.
func newCutChain(t *testing.T) (*chain.Chain, []*sshtest.Server) {
	t.Helper()
	key := sshtest.NewKey(t)
	var hops []chain.Hop
	var servers []*sshtest.Server
	for _, name := range []string{"ela", "daint", "nid001001"} {
		s := sshtest.Start(t, sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}})
		servers = append(servers, s)
		hops = append(hops, chain.Hop{
			Name: name, Addr: s.Addr(), User: "alice", Signer: key, HostKeys: chain.PinnedKeys(s.HostKey()),
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := chain.Dial(ctx, hops, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, servers
}

// through is a target beyond the chain. The address is that of a server here.
func through(t *testing.T, c *chain.Chain, handle func(*net.TCPConn)) Target {
	t.Helper()
	addr := serverAddr(t, handle)
	return func(ctx context.Context) (net.Conn, error) { return c.DialContext(ctx, "tcp", addr) }
}

// What holds between two TCP connections holds with SSH between them. The
// listener comes first, as in a session, and so is the last to be looked at
// for what it left.
func TestThroughChain(t *testing.T) {
	t.Run("half-close", func(t *testing.T) {
		l, _ := start(t, nil)
		l.SetTarget(through(t, newChain(t), func(c *net.TCPConn) {
			b, _ := io.ReadAll(c)
			_, _ = io.WriteString(c, strings.ToUpper(string(b)))
		}))
		c := dial(t, l)
		write(t, c, "question")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, c); got != "QUESTION" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("large", func(t *testing.T) {
		size := 32<<20 + 321
		if raceEnabled {
			size = 4<<20 + 321
		}
		checked := make(chan error, 1)
		l, _ := start(t, nil)
		l.SetTarget(through(t, newChain(t), func(c *net.TCPConn) {
			checked <- newPattern().check(c, size)
			_ = newPattern().send(c, size)
		}))
		c := dial(t, l)
		if err := newPattern().send(c, size); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-checked; err != nil {
			t.Error("upload:", err)
		}
		if err := newPattern().check(c, size); err != nil {
			t.Error("download:", err)
		}
	})
	t.Run("a thousand", func(t *testing.T) {
		n := 1000
		if raceEnabled {
			n = 200
		}
		l, _ := start(t, nil)
		l.SetTarget(through(t, newChain(t), echo))
		var open, all sync.WaitGroup
		open.Add(n)
		for range n {
			all.Go(func() {
				c, err := net.DialTimeout("tcp4", joinHostPort("127.0.0.1", l.Port()), patience)
				if err != nil {
					t.Error(err)
					open.Done()
					return
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = io.WriteString(c, "hello")
				b := make([]byte, 5)
				_, err = io.ReadFull(c, b)
				open.Done()
				open.Wait()
				if err != nil || string(b) != "hello" {
					t.Errorf("got %q, %v", b, err)
				}
			})
		}
		all.Wait()
	})
	t.Run("cut", func(t *testing.T) { // a host hangs up, which is an end, but not of the data
		for i := range 9 {
			l, stop := start(t, nil)
			first, servers := newCutChain(t)
			l.SetTarget(through(t, first, func(c *net.TCPConn) {
				_, _ = io.WriteString(c, "half of it")
				_, _ = io.Copy(io.Discard, c)
			}))
			c := dial(t, l)
			readN(t, c, len("half of it"))
			servers[i%3].Cut()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v, want a reset", err)
			}
			stop()
		}
	})
	t.Run("lost and restored", func(t *testing.T) {
		l, _ := start(t, nil)
		first := newChain(t)
		l.SetTarget(through(t, first, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "half of it")
			_, _ = io.Copy(io.Discard, c)
		}))
		c := dial(t, l)
		readN(t, c, len("half of it"))
		_ = first.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
		// Nobody has said yet that there is no way any more.
		next := dial(t, l)
		eventually(t, "it waits", func() bool { return l.Stats().Held == 1 })
		l.SetTarget(nil)
		l.SetTarget(through(t, newChain(t), func(c *net.TCPConn) { _, _ = io.WriteString(c, "restored") }))
		if got := readAll(t, next); got != "restored" {
			t.Errorf("got %q", got)
		}
	})
}
