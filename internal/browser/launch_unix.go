//go:build unix

package browser

import (
	"os"
	"runtime"
	"syscall"
)

// detachedProcAttr puts the helper in a session of its own. Ctrl-C and a hangup of the user's terminal
// do not reach it, and no text browser can use that terminal.
func detachedProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// ownExecutable returns the path of this program. On Linux it works even if the file was replaced or removed.
func ownExecutable() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}
