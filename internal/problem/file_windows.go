package problem

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

// isMine returns true: the hints for Windows do not depend on it.
func isMine(fs.FileInfo) bool { return true }

// Errors of the system about a disk.
var (
	full     = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
	readOnly = []error{windows.ERROR_WRITE_PROTECT}
)

const anotherAgent = "start it again, as administrator: Restart-Service ssh-agent"

const startAgent = "start it, as administrator: Set-Service ssh-agent -StartupType Automatic; Start-Service ssh-agent"
