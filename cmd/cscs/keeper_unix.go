//go:build unix

package main

import (
	"os"
	"strconv"
	"syscall"
)

// detachedProcAttr has a process be a session of its own: no Ctrl-C and no hangup of a terminal reaches it.
func detachedProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// closeInherited has the descriptors that this process inherited be closed in those that it starts: a lock
// or a pipe of a script must end with the script. Go closes its own.
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
