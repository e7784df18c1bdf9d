package forward

import (
	"context"
	"syscall"
)

const (
	errInUse     = syscall.EADDRINUSE
	errDenied    = syscall.EACCES
	errNoAddress = syscall.EADDRNOTAVAIL
	errNoFamily  = syscall.EAFNOSUPPORT
)

// setExclusiveUse is nil because Linux needs nothing here. The net package sets SO_REUSEADDR, which
// allows a bind while old connections are in TIME_WAIT. Two listeners share a port only if both set
// SO_REUSEPORT.
var setExclusiveUse func(network, address string, c syscall.RawConn) error

// checkPortFree returns nil: on Linux, bind fails if a socket listens on the wildcard address.
func checkPortFree(context.Context, int) error { return nil }
