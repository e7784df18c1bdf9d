package problem

import "golang.org/x/sys/windows"

// What the system says of a disk.
var (
	full     = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
	readOnly = []error{windows.ERROR_WRITE_PROTECT}
)

const anotherAgent = "start it again, as administrator: Restart-Service ssh-agent"

const startAgent = "start it, as administrator: Set-Service ssh-agent -StartupType Automatic; Start-Service ssh-agent"
