//go:build linux || darwin

package share

import (
	"errors"
	"fmt"
	"net"
	"os"
)

var errStranger = errors.New("the other side is another user's")

// checkPeer asks the kernel whose process is at the other end.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var uid uint32
	var asked error
	if err := raw.Control(func(fd uintptr) { uid, asked = credentials(int(fd)) }); err != nil {
		return err
	}
	if asked != nil {
		return fmt.Errorf("ask whose the other side is: %w", asked)
	}
	if int(uid) != os.Geteuid() {
		return fmt.Errorf("%w (uid %d)", errStranger, uid)
	}
	return nil
}
