//go:build linux || darwin

package share

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
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

func isOurs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
