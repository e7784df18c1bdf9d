package peer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

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
		from := netip.MustParseAddrPort(c.LocalAddr().String())
		if uid, err := Func(UID).Of(c.LocalAddr(), ln.Addr()); err != nil || uid != os.Getuid() {
			t.Errorf("%v: user %d, %v", from, uid, err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if uid, err := UID(from, to); err != nil || uid != os.Getuid() {
			t.Errorf("%v when half closed: user %d, %v", from, uid, err)
		}
		c.Close()
		// Closed by its process, the socket may be in the table still.
		if uid, err := UID(from, to); !IsStranger(uid, err) {
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
		if uid, err := Func(UID).Of(server.RemoteAddr(), server.LocalAddr()); !IsStranger(uid, err) {
			t.Errorf("%s: user %d, %v", addr, uid, err)
		}
	}
}
