//go:build unix

package doctor

import (
	"errors"
	"syscall"
)

// noRoute reports whether err says that this network has no route to the host.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
