package doctor

import (
	"errors"

	"golang.org/x/sys/windows"
)

// noRoute reports whether err says that this network has no route to the host.
func noRoute(err error) bool {
	return errors.Is(err, windows.WSAENETUNREACH) || errors.Is(err, windows.WSAEHOSTUNREACH) || errors.Is(err, windows.WSAEADDRNOTAVAIL)
}
