//go:build unix

package forward

import "syscall"

const (
	errInUse     = syscall.EADDRINUSE
	errDenied    = syscall.EACCES
	errNoAddress = syscall.EADDRNOTAVAIL
	errNoFamily  = syscall.EAFNOSUPPORT
)

// setExclusiveUse is nil because two listeners share an address only if both set SO_REUSEPORT. The
// net package sets SO_REUSEADDR, which allows a bind while old connections are in TIME_WAIT.
var setExclusiveUse func(network, address string, c syscall.RawConn) error
