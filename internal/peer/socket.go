package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
)

// ErrNoPeer reports that this system does not name the user at the other end of a unix socket.
var ErrNoPeer = errors.New("this system does not say whose process is at the other end of a socket")

// Root is the user at the other end of a socket that the system serves, as launchd does on macOS. No
// file is safe from root anyway.
const Root = 0

// CheckSocket returns ErrStranger if the other end of a unix socket is neither this user's nor one of
// the others', or ErrNoPeer.
func CheckSocket(conn *net.UnixConn, others ...int) error {
	uid, err := SocketUID(conn)
	if err != nil {
		return err
	}
	if uid != os.Geteuid() && !slices.Contains(others, uid) {
		return fmt.Errorf("%w (%s)", ErrStranger, Name(uid, nil))
	}
	return nil
}

// DialSocket connects to a unix socket and refuses a listener of another user, before it sends a byte.
// On a system without SocketUID it checks nothing.
func DialSocket(ctx context.Context, path string, others ...int) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil || !KnowsSockets {
		return conn, err
	}
	if err := CheckSocket(conn.(*net.UnixConn), others...); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// A SocketListener is a unix listener that accepts this user's processes only.
type SocketListener struct{ net.Listener }

// Accept implements net.Listener.
func (l SocketListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if unix, ok := conn.(*net.UnixConn); ok && (!KnowsSockets || CheckSocket(unix) == nil) {
			return conn, nil
		}
		_ = conn.Close()
	}
}
