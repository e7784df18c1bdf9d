package chain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// echo answers every connection with what it gets.
func echo(t testing.TB) string {
	return sshtest.ServeTCP(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}

// roundTrip sends data to an echo through c, and closes its half when all is
// sent.
func roundTrip(ctx context.Context, c *Chain, addr string, data []byte) error {
	conn, err := c.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		_, _ = io.Copy(conn, bytes.NewReader(data))
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	})
	sum := sha256.New()
	if _, err := io.Copy(sum, conn); err != nil {
		return err
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		return errors.New("not byte for byte")
	}
	return nil
}

// TestBulk: 20 MB there and back through three hops, at last with a new key
// exchange every few megabytes. The 100 MB are TestOpenSSH's.
func TestBulk(t *testing.T) {
	for name, rekey := range map[string]uint64{"": 0, "rekeying": 4 << 20} {
		t.Run(name, func(t *testing.T) {
			w := newWay(t, 3, func(_ int, c *sshtest.Config) { c.RekeyThreshold = rekey })
			c := dial(t, w.hops, Options{})
			if err := roundTrip(t.Context(), c, echo(t), pattern(20<<20)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestManyChannels(t *testing.T) {
	c := dial(t, newWay(t, 3, nil).hops, Options{})
	addr := echo(t)
	if err := roundTrip(t.Context(), c, addr, nil); err != nil { // the servers are all up now
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	var channels sync.WaitGroup
	for i := range 500 {
		channels.Go(func() {
			if err := roundTrip(t.Context(), c, addr, pattern(1000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	channels.Wait()
	eventually(t, "the channels' goroutines have ended", func() bool { return runtime.NumGoroutine() < before+20 })
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "chain") //nolint:usetesting // t.TempDir's is too long for a socket on macOS
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if conn, err := l.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	})
	defer serving.Wait()
	defer l.Close()
	c := dial(t, newWay(t, 2, nil).hops, Options{})
	conn, err := c.DialContext(t.Context(), "unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.RemoteAddr(); got.Network() != "unix" || got.String() != dir+"/s" {
		t.Errorf("%s %s", got.Network(), got)
	}
	_, _ = conn.Write([]byte("hello"))
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Error(err)
	}
}

func TestDialContextErrors(t *testing.T) {
	c := dial(t, newWay(t, 1, nil).hops, Options{})
	for _, tt := range []struct{ network, addr string }{
		{"udp", "localhost:53"}, {"tcp", "localhost"}, {"tcp", "localhost:http"}, {"tcp", "localhost:70000"},
	} {
		if _, err := c.DialContext(t.Context(), tt.network, tt.addr); err == nil {
			t.Errorf("%s %s: no error", tt.network, tt.addr)
		}
	}
	var open *OpenError
	if _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1"); !errors.As(err, &open) || open.Reason != "connect failed" {
		t.Error(err)
	}
}

// TestDialContextCancel: what opens too late is closed again.
func TestDialContextCancel(t *testing.T) {
	ctrlC := errors.New("ctrl-c")
	asked, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w := newWay(t, 1, func(_ int, c *sshtest.Config) {
		c.Dial = func(string, string) (net.Conn, error) {
			close(asked)
			<-release
			near, far := sshtest.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far); close(closed) }()
			return near, nil
		}
	})
	c := dial(t, w.hops, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { _, err := c.DialContext(ctx, "tcp", "localhost:80"); done <- err }()
	<-asked
	cancel(ctrlC)
	if err := soon(t, "DialContext", func() error { return <-done }); !errors.Is(err, ctrlC) {
		t.Error(err)
	}
	close(release)
	_ = soon(t, "the late connection", func() error { <-closed; return nil })
}

// blackHole accepts connections and never reads nor closes them.
func blackHole(t *testing.T) string {
	t.Helper()
	hold := make(chan struct{})
	addr := sshtest.ServeTCP(t, func(net.Conn) { <-hold })
	t.Cleanup(func() { close(hold) })
	return addr
}

// TestConnClose: Close lets go of a Read and of a Write at once.
func TestConnClose(t *testing.T) {
	c := dial(t, newWay(t, 2, nil).hops, Options{})
	conn, err := c.DialContext(t.Context(), "tcp", blackHole(t))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, conn)
	read, written := make(chan error, 1), make(chan error, 1)
	reads, writes := make(chan struct{}), make(chan struct{})
	go func() { close(reads); _, err := conn.Read(make([]byte, 1)); read <- err }()
	go func() { close(writes); _, err := conn.Write([]byte("x")); written <- err }()
	<-reads
	<-writes
	began := time.Now()
	_ = conn.Close()
	for what, end := range map[string]chan error{"Read": read, "Write": written} {
		if err := soon(t, what, func() error { return <-end }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if took := time.Since(began); took > lingerTimeout/2 {
		t.Errorf("took %v", took)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// fill writes to a connection that its far side does not read, until no byte is taken for a while: what
// lies between may take more after a first pause. The next write blocks.
func fill(t *testing.T, conn net.Conn) {
	t.Helper()
	for idle := 0; idle < 2; {
		_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		taken := 0
		err := soon(t, "a write with a deadline", func() error {
			for {
				n, err := conn.Write(make([]byte, 1<<20))
				if taken += n; err != nil {
					return err
				}
			}
		})
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatal(err)
		}
		if idle++; taken > 0 {
			idle = 0
		}
	}
	_ = conn.SetWriteDeadline(time.Time{})
}

func TestDeadlines(t *testing.T) {
	c := dial(t, newWay(t, 1, nil).hops, Options{})
	conn, err := c.DialContext(t.Context(), "tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 5)
	for range 3 {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := conn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hello" {
		t.Errorf("after a deadline: %q, %v", buf, err)
	}
	_ = conn.SetDeadline(time.Time{})

	stuck, err := c.DialContext(t.Context(), "tcp", blackHole(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fill(t, stuck)
}

// TestDataBeforeClose: what was sent before the far side closed is still read.
func TestDataBeforeClose(t *testing.T) {
	c := dial(t, newWay(t, 2, nil).hops, Options{})
	data := pattern(1 << 20)
	sent := make(chan struct{})
	addr := sshtest.ServeTCP(t, func(conn net.Conn) { _, _ = conn.Write(data); close(sent) })
	conn, err := c.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-sent
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestChatter: requests on a channel, which nobody expects, are answered.
func TestChatter(t *testing.T) {
	key := sshtest.NewKey(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	host := sshtest.NewKey(t)
	config.AddHostKey(host)
	answered := make(chan int, 1)
	addr := sshtest.ServeTCP(t, func(conn net.Conn) {
		sc, channels, requests, err := ssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		defer sc.Close()
		go ssh.DiscardRequests(requests)
		for ch := range channels {
			channel, reqs, err := ch.Accept()
			if err != nil {
				return
			}
			go ssh.DiscardRequests(reqs)
			n := 0
			for range 100 {
				if _, err := channel.SendRequest("are-you-there", true, nil); err == nil {
					n++
				}
			}
			answered <- n
			_, _ = io.Copy(io.Discard, channel)
		}
	})
	c := dial(t, []Hop{{Name: "x", Addr: addr, Signer: key, HostKeys: PinnedKeys(host.PublicKey())}}, Options{})
	conn, err := c.DialContext(t.Context(), "tcp", "localhost:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := <-answered; n != 100 {
		t.Errorf("%d of 100 answered", n)
	}
}

// TestConnsUntilRead: a connection that has ended is open until all that came in was read.
func TestConnsUntilRead(t *testing.T) {
	c := dial(t, newWay(t, 1, nil).hops, Options{})
	data := pattern(64 << 10)
	addr := sshtest.ServeTCP(t, func(far net.Conn) { _, _ = far.Write(data) })
	near, err := c.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	_ = near.(*conn).CloseWrite()
	<-near.(*conn).ended
	if n := c.Conns(); n != 1 {
		t.Errorf("%d are open before it is read", n)
	}
	if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// The goroutine that reads counts after the reader has its EOF.
	eventually(t, "none is open after that", func() bool { return c.Conns() == 0 })
}
