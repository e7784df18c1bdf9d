package browser

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// detached keeps the helper from our console and its Ctrl-C.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		HideWindow:    true,
		CreationFlags: windows.CREATE_NO_WINDOW | windows.CREATE_NEW_PROCESS_GROUP,
	}
}

func executable() (string, error) { return os.Executable() }
