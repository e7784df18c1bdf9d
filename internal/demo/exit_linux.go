package demo

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit waits until a child has ended, and leaves it to be reaped: until then its number is no other
// process's or group's. It reports whether it could.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
