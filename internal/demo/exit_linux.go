package demo

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit waits until a child has ended, without reaping it. Until it is reaped, no other process
// or group has its number. It reports whether it could wait.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
