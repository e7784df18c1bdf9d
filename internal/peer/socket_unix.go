//go:build linux || darwin

package peer

import (
	"fmt"
	"net"
)

// KnowsSockets reports whether this system has SocketUID.
const KnowsSockets = true

// SocketUID is the user at the other end of a unix socket: of the process that connected, or that
// listens there. The kernel says so.
func SocketUID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var uid uint32
	var asked error
	if err := raw.Control(func(fd uintptr) { uid, asked = peerUID(int(fd)) }); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, fmt.Errorf("ask whose the other side is: %w", asked)
	}
	return int(uid), nil
}
