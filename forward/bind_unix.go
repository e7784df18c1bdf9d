//go:build unix && !linux

package forward

import "syscall"

const (
	errInUse     = syscall.EADDRINUSE
	errDenied    = syscall.EACCES
	errNoAddress = syscall.EADDRNOTAVAIL
	errNoFamily  = syscall.EAFNOSUPPORT
)

// setExclusiveUse is nil because two listeners share an address only if both set SO_REUSEPORT.
var setExclusiveUse func(network, address string, c syscall.RawConn) error
