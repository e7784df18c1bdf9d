// Package spawn has what a process of cscs needs to start this program again, in the background.
package spawn

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// Executable returns the path of this program.
func Executable() (string, error) { return os.Executable() }

// Detached detaches a process from the console of this process and its Ctrl-C.
func Detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NO_WINDOW | windows.CREATE_NEW_PROCESS_GROUP}
}
