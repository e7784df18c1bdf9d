package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
)

// ErrNoPeer tells that this system does not say whose the other end of a unix socket is.
var ErrNoPeer = errors.New("this system does not say whose process is at the other end of a socket")

// Root is the user who may be at the other end of a socket that the system itself serves, as
// launchd does on macOS. Nothing is safe from that user in any case.
const Root = 0

// CheckSocket refuses a unix socket whose other end is not this user's, nor one of the others': with
// ErrStranger, or ErrNoPeer.
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

// DialSocket connects to a unix socket and refuses one where another user listens, before a
// byte is sent. Where the system does not say who listens, it is not asked.
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

// A SocketListener is a unix listener that lets this user's processes in alone.
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
