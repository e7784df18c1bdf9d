package peer

import (
	"errors"
	"iter"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

// ways are those of asking the kernel.
var ways = map[string]func(from, to netip.AddrPort) (socket, error){
	"sock_diag":     findSocket,
	"/proc/net/tcp": func(from, to netip.AddrPort) (socket, error) { return readTables(from, to, procnet.TCP) },
}

// The socket of an IPv6 family that speaks IPv4 is in another table.
func TestUID(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		to := netip.MustParseAddrPort(ln.Addr().String())
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ours, err := ln.Accept() // else the kernel has made no socket of our end yet
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		from := netip.MustParseAddrPort(c.LocalAddr().String())
		if uid, err := Func(UID).Of(c.LocalAddr(), ln.Addr()); err != nil || uid != os.Getuid() {
			t.Errorf("%v: user %d, %v", from, uid, err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for name, find := range ways {
			if s, err := find(from, to); err != nil || s.uid != os.Getuid() || s.inode == 0 {
				t.Errorf("%s: %v when half closed: %+v, %v", name, from, s, err)
			}
			if s, err := find(to, from); err != nil || s.uid != os.Getuid() || s.inode == 0 {
				t.Errorf("%s: our own end: %+v, %v", name, s, err)
			}
			// Not the listener there, which is this user's as well.
			if s, err := find(to, netip.AddrPortFrom(from.Addr(), 1)); err == nil {
				t.Errorf("%s: a connection that is not there: %+v", name, s)
			}
		}
		c.Close()
		// Closed by its process, the socket may be in the table still.
		if uid, err := UID(from, to); Judge(os.Getuid(), uid, err) != Stranger {
			t.Errorf("%v when closed: user %d, %v", from, uid, err)
		}
	}
}

// TestReset: the kernel shows neither end of a connection that the client has reset. That is no
// process of this user's.
func TestReset(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if err := errors.Join(client.(*net.TCPConn).SetLinger(0), client.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%s: the connection is not reset: %v", addr, err)
		}
		if uid, err := Func(UID).Of(server.RemoteAddr(), server.LocalAddr()); Judge(os.Getuid(), uid, err) != Stranger {
			t.Errorf("%s: user %d, %v", addr, uid, err)
		}
	}
}

// A table that shows nothing, as in a sandbox that has one of its own, does not make everyone a stranger.
func TestReadEmptyTables(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:6006")
	from := netip.MustParseAddrPort("127.0.0.1:50000")
	tables := func(s ...procnet.Socket) func() iter.Seq[procnet.Socket] {
		return func() iter.Seq[procnet.Socket] { return slices.Values(s) }
	}
	if _, err := readTables(from, to, tables()); !errors.Is(err, ErrUnknown) {
		t.Errorf("none: %v", err)
	}
	another := procnet.Socket{Local: to, State: procnet.Listen, Inode: "7"}
	if _, err := readTables(from, to, tables(another)); !errors.Is(err, ErrNoProcess) {
		t.Errorf("another: %v", err)
	}
}

func TestIsWSL(t *testing.T) {
	for _, tt := range []struct {
		env     map[string]string
		release string
		want    bool
	}{
		{nil, "6.12.48+deb13-amd64", false},
		{map[string]string{"WSL_DISTRO_NAME": "Debian"}, "", true},
		{nil, "5.15.167.4-microsoft-standard-WSL2", true}, // without its variables, as in a service
	} {
		if got := isWSL(func(name string) string { return tt.env[name] }, tt.release); got != tt.want {
			t.Errorf("%v, %s: %v", tt.env, tt.release, got)
		}
	}
}

func BenchmarkUID(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	from, to := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(ln.Addr().String())
	for name, find := range ways {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := find(from, to); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
