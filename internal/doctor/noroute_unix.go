//go:build unix

package doctor

import (
	"errors"
	"syscall"
)

// noRoute reports whether this network has no way there at all.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
