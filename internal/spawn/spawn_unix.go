//go:build unix

// Package spawn has what a process of cscs needs to start this program again, in the background.
package spawn

import (
	"os"
	"runtime"
	"syscall"
)

// Executable returns the path of this program. On Linux the path stays valid if the file is replaced or
// removed.
func Executable() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// Detached starts a process in a session of its own. A terminal's Ctrl-C and hangup do not reach the
// process, and it cannot use the terminal.
func Detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
