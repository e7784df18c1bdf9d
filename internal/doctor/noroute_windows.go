package doctor

import (
	"errors"

	"golang.org/x/sys/windows"
)

// noRoute reports whether this network has no way there at all.
func noRoute(err error) bool {
	return errors.Is(err, windows.WSAENETUNREACH) || errors.Is(err, windows.WSAEHOSTUNREACH) || errors.Is(err, windows.WSAEADDRNOTAVAIL)
}
