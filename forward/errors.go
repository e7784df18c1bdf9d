package forward

import "fmt"

// A PortBusyError tells that a local port cannot be had because someone else
// listens on it, be it on one of the two loopback addresses only.
type PortBusyError struct {
	Port   int
	Holder string // the process or user that has it, in words; empty if that cannot be seen
	Err    error  // as the system said it
}

func (e *PortBusyError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("local port %d is in use", e.Port)
	}
	return fmt.Sprintf("local port %d is in use by %s", e.Port, e.Holder)
}

func (e *PortBusyError) Unwrap() error { return e.Err }

// A PortDeniedError tells that the system keeps a local port from this user:
// on Unix the ports below 1024, on Windows whatever it has reserved.
type PortDeniedError struct {
	Port int
	Err  error // as the system said it
}

func (e *PortDeniedError) Error() string {
	return fmt.Sprintf("local port %d is reserved by the system", e.Port)
}

func (e *PortDeniedError) Unwrap() error { return e.Err }

// A TargetError tells that a connection was closed because its target did not
// open. It is given to [Listener.Observe].
type TargetError struct {
	Err error
}

func (e *TargetError) Error() string { return fmt.Sprintf("open forwarded connection: %v", e.Err) }
func (e *TargetError) Unwrap() error { return e.Err }

// A HoldError tells that a connection was closed because there was no target
// that answered for as long as [Listener.Hold]. It is given to [Listener.Observe].
type HoldError struct{}

func (*HoldError) Error() string { return "forwarded connection waited in vain for the server" }

// An AcceptError tells that the system would not hand over a new connection,
// for lack of file descriptors most often. It is given to [Listener.Observe]
// when the listener goes on, and returned by [Listener.Serve] when it cannot.
type AcceptError struct {
	Err error
}

func (e *AcceptError) Error() string { return fmt.Sprintf("accept local connection: %v", e.Err) }
func (e *AcceptError) Unwrap() error { return e.Err }
