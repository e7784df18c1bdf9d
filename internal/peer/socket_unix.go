//go:build linux || darwin

package peer

import (
	"fmt"
	"net"
)

// KnowsSockets reports whether SocketUID works on this system.
const KnowsSockets = true

// SocketUID returns the user at the other end of a unix socket, from the kernel: the user of the
// process that connected or that listens there.
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
