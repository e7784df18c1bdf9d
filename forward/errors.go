package forward

import "fmt"

// A PortBusyError means that a local port is in use, on one loopback address or on both.
type PortBusyError struct {
	Port   int
	Holder string // the process or user that listens there, in words; empty if not known
	Err    error  // of the system
}

func (e *PortBusyError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("local port %d is in use", e.Port)
	}
	return fmt.Sprintf("local port %d is in use by %s", e.Port, e.Holder)
}

func (e *PortBusyError) Unwrap() error { return e.Err }

// A PortDeniedError means that the system denies this user a local port: on Unix the ports below
// 1024, on Windows the ports that the system has reserved.
type PortDeniedError struct {
	Port int
	Err  error // of the system
}

func (e *PortDeniedError) Error() string {
	return fmt.Sprintf("local port %d is reserved by the system", e.Port)
}

func (e *PortDeniedError) Unwrap() error { return e.Err }

// A TargetError means that a connection was closed because its target returned an error. The
// listener passes it to [Listener.Observe].
type TargetError struct {
	Err error
}

func (e *TargetError) Error() string { return fmt.Sprintf("open forwarded connection: %v", e.Err) }
func (e *TargetError) Unwrap() error { return e.Err }

// A HoldError means that a connection was closed because no target answered within [Listener.Hold].
// The listener passes it to [Listener.Observe].
type HoldError struct{}

func (*HoldError) Error() string { return "forwarded connection timed out waiting for the server" }

// An AcceptError means that the system did not return a new connection, mostly because file
// descriptors ran out. The listener passes it to [Listener.Observe] if it continues, and
// [Listener.Serve] returns it otherwise.
type AcceptError struct {
	Err error
}

func (e *AcceptError) Error() string { return fmt.Sprintf("accept local connection: %v", e.Err) }
func (e *AcceptError) Unwrap() error { return e.Err }
