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

// setExclusiveUse has nothing to do: net sets SO_REUSEADDR, which on Linux lets a
// port be had again while old connections linger (TIME_WAIT), but never two
// listeners share it. That takes SO_REUSEPORT, on both.
var setExclusiveUse func(network, address string, c syscall.RawConn) error

// checkPortFree has nothing to find: a listener on the wildcard address makes bind
// fail.
func checkPortFree(context.Context, int) error { return nil }
