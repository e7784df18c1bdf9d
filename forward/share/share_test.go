//go:build linux || darwin

package share

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

const patience = 30 * time.Second

// A site is two servers, one behind the other, and the place where their chain is shared.
type site struct {
	servers []*sshtest.Server
	hops    []chain.Hop
	place   Rendezvous
	dials   atomic.Int64
}

func newSite(t testing.TB, change func(i int, c *sshtest.Config)) *site {
	t.Helper()
	key := sshtest.NewKey(t)
	s := &site{place: newPlace(t, "daint")}
	for i, name := range []string{"ela", "daint"} {
		config := sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}, Exec: shell}
		if change != nil {
			change(i, &config)
		}
		server := sshtest.Start(t, config)
		s.servers = append(s.servers, server)
		s.hops = append(s.hops, chain.Hop{
			Name: name, Addr: server.Addr(), User: "alice", Signer: key, HostKeys: chain.PinnedKeys(server.HostKey()),
		})
	}
	return s
}

// newPlace is a place below a short path: a test's name may be longer than a socket's can be.
func newPlace(t testing.TB, host string) Rendezvous {
	t.Helper()
	dir, err := os.MkdirTemp("", "cscs-share") //nolint:usetesting // for that reason
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // a stranger may come this far
		t.Fatal(err)
	}
	return Rendezvous{Dir: filepath.Join(dir, "s"), Key: []string{"alice", host}, Host: host}
}

// dialSite dials and counts.
func (s *site) dialSite(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
	s.dials.Add(1)
	return chain.Dial(ctx, s.hops, opts)
}

// share is Dial, which must succeed; the chain is closed when the test ends.
func (s *site) share(t testing.TB, opts chain.Options) *Chain {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := Dial(ctx, s.place, opts, s.dialSite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pair is an owner and one who has joined.
func (s *site) pair(t testing.TB) (owner, sharer *Chain) {
	t.Helper()
	owner, sharer = s.share(t, chain.Options{}), s.share(t, chain.Options{})
	if owner.Joined() || owner.Alone() != nil || !sharer.Joined() {
		t.Fatalf("owner joined: %v, alone: %v; sharer joined: %v, alone: %v",
			owner.Joined(), owner.Alone(), sharer.Joined(), sharer.Alone())
	}
	return owner, sharer
}

func shell(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
	switch name, arg, _ := strings.Cut(cmd, " "); name {
	case "echo":
		_, _ = io.WriteString(stdout, arg+"\n")
	case "cat":
		_, _ = io.Copy(stdout, stdin)
	case "fail":
		_, _ = io.WriteString(stderr, arg)
		return 3
	case "vanish":
		return -1
	case "wait":
		_, _ = io.WriteString(stdout, "waiting\n")
		_, _ = io.Copy(io.Discard, stdin)
	case "flood":
		for err := error(nil); err == nil; {
			_, err = stdout.Write(make([]byte, 32<<10))
		}
	}
	return 0
}

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

func echo(conn net.Conn) {
	_, _ = io.Copy(conn, conn)
	_ = conn.(*net.TCPConn).CloseWrite()
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i, x := 0, uint32(1); i < n; i++ {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// roundTrip sends data to an echo, half-closes, and wants it back byte for byte.
func roundTrip(ctx context.Context, c interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}, addr string, data []byte,
) error {
	conn, err := c.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	wrote := make(chan error, 1)
	go func() {
		_, err := conn.Write(data)
		wrote <- errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite())
	}()
	sum := sha256.New()
	n, err := io.Copy(sum, conn)
	if err := errors.Join(err, <-wrote); err != nil {
		return err
	}
	if want := sha256.Sum256(data); n != int64(len(data)) || !bytes.Equal(sum.Sum(nil), want[:]) {
		return errors.New("other bytes came back")
	}
	return nil
}
