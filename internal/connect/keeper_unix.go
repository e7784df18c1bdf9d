//go:build unix

package connect

import (
	"os"
	"strconv"
	"syscall"
)

// closeInherited marks inherited descriptors close-on-exec: a lock or pipe of a script must end with the
// script. Go marks its own descriptors.
func closeInherited() {
	dir, err := os.Open("/dev/fd")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
