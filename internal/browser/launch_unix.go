//go:build unix

package browser

import (
	"os"
	"runtime"
	"syscall"
)

// detachedProcAttr gives the helper a session of its own: no Ctrl-C and no hangup of
// the user's terminal reaches it, and no text browser can take that over.
func detachedProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// ownExecutable is this program, on Linux even if it has been replaced or removed
// since it was started.
func ownExecutable() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}
