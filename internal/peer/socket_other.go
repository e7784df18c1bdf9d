//go:build !linux && !darwin

package peer

import "net"

// SocketUID is the user at the other end of a unix socket. Windows has such sockets, too, but says of the
// other side its process at most, which is not enough to know that it still is the one that connected.
func SocketUID(*net.UnixConn) (int, error) { return 0, ErrNoPeer }

// KnowsSockets reports whether this system has SocketUID.
const KnowsSockets = false
