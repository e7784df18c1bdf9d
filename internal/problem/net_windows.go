package problem

import "golang.org/x/sys/windows"

// Winsock has numbers of its own; package syscall's are invented there.
var (
	refused     = []error{windows.WSAECONNREFUSED}
	unreachable = []error{windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEHOSTDOWN, windows.WSAEADDRNOTAVAIL}
	reset       = []error{windows.WSAECONNRESET, windows.WSAECONNABORTED}
)
