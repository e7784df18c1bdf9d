//go:build !linux && !darwin

package peer

import "net"

// SocketUID returns ErrNoPeer. Windows names at most the process at the other end of a unix socket,
// which may be another one by then.
func SocketUID(*net.UnixConn) (int, error) { return 0, ErrNoPeer }

// KnowsSockets reports whether SocketUID works on this system.
const KnowsSockets = false
