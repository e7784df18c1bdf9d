package browser

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// detachedProcAttr detaches the helper from our console and its Ctrl-C.
func detachedProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		HideWindow:    true,
		CreationFlags: windows.CREATE_NO_WINDOW | windows.CREATE_NEW_PROCESS_GROUP,
	}
}

func ownExecutable() (string, error) { return os.Executable() }
