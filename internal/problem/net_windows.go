package problem

import "golang.org/x/sys/windows"

// Errors of Winsock. The values of the same names in package syscall are invented on Windows.
var (
	refused     = []error{windows.WSAECONNREFUSED}
	unreachable = []error{windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEHOSTDOWN, windows.WSAEADDRNOTAVAIL}
	reset       = []error{windows.WSAECONNRESET, windows.WSAECONNABORTED}
)
