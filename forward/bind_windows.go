package forward

import (
	"syscall"

	"golang.org/x/sys/windows"
)

const (
	errInUse     = windows.WSAEADDRINUSE
	errDenied    = windows.WSAEACCES
	errNoAddress = windows.WSAEADDRNOTAVAIL
	errNoFamily  = windows.WSAEAFNOSUPPORT
)

// soExclusiveAddrUse is SO_EXCLUSIVEADDRUSE of winsock2.h.
const soExclusiveAddrUse = ^syscall.SO_REUSEADDR

// setExclusiveUse sets SO_EXCLUSIVEADDRUSE. Without it, a socket with SO_REUSEADDR can take over
// the port on Windows.
// https://learn.microsoft.com/windows/win32/winsock/using-so-reuseaddr-and-so-exclusiveaddruse
func setExclusiveUse(_, _ string, c syscall.RawConn) error {
	var opErr error
	err := c.Control(func(fd uintptr) {
		opErr = syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, soExclusiveAddrUse, 1)
	})
	if err != nil {
		return err
	}
	return opErr
}
