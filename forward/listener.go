package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Listener forwards the connections of a local port. Its fields may be set before Serve.
type Listener struct {
	// Hold is how long a connection waits while there is no target or the target does not answer.
	// After that, a client that has sent a request of HTTP/1 receives a 503, and the connection is
	// closed.
	Hold time.Duration
	// Observe, if set, is called for each connection that failed, with a [*TargetError],
	// [*HoldError] or [*AcceptError]. Many goroutines call it at once, so it must not block.
	Observe func(error)
	// Room, if set, answers the connections that it wants while there is no target (the waiting
	// page). Serve does not wait for its answers.
	Room Room
	// Guarded makes the Room judge every connection, with or without a target. A connection that
	// the Room does not answer is forwarded only if the Room vouches for it. The Room reaches the
	// target by [Listener.Dial].
	Guarded bool

	port     int
	ls       []net.Listener
	target   slot
	noTarget atomic.Bool // there is no target
	count    counters
	now      func() time.Time

	closed  chan struct{} // closed by Close
	closing sync.Once
	served  atomic.Bool // Serve was called
}

// Listen opens the local port on 127.0.0.1 and ::1. Port 0 means any port that is free on both. The
// kernel accepts connections from then on; they wait until [Listener.Serve] is called.
//
// The error is a [*PortBusyError] that names the holder if the system shows it, a
// [*PortDeniedError], or an error of the net package.
func Listen(port int) (*Listener, error) {
	ctx := context.Background()
	ls, err := bindLoopback(ctx, port)
	if err != nil {
		return nil, withHolder(ctx, err)
	}
	return newListener(ls), nil
}

// ListenFrom opens the first free local port at or after port. The caller compares [Listener.Port]
// with port, and asks [Holder] for the process that has port. If no port is free, ListenFrom
// returns the error for port itself, as [Listen] does.
func ListenFrom(port int) (*Listener, error) {
	ctx := context.Background()
	var first error
	for p := port; p <= maxPort || first == nil; p++ {
		ls, err := bindLoopback(ctx, p)
		if err == nil {
			return newListener(ls), nil
		}
		if first == nil {
			first = err
		}
		if !errors.As(err, new(*PortBusyError)) && !errors.As(err, new(*PortDeniedError)) {
			break
		}
	}
	return nil, withHolder(ctx, first)
}

func newListener(ls []net.Listener) *Listener {
	l := &Listener{
		Hold:   DefaultHold,
		port:   ls[0].Addr().(*net.TCPAddr).Port,
		ls:     ls,
		now:    time.Now,
		closed: make(chan struct{}),
	}
	l.count.touch(l.now())
	return l
}

func withHolder(ctx context.Context, err error) error {
	var busy *PortBusyError
	if errors.As(err, &busy) {
		busy.Holder = Holder(ctx, busy.Port)
	}
	return err
}

// Port returns the local port.
func (l *Listener) Port() int { return l.port }

// SetTarget sets the target of new and waiting connections; open connections keep theirs. With nil,
// new connections wait for the next target, up to [Listener.Hold].
func (l *Listener) SetTarget(t Target) {
	l.target.set(t)
	l.noTarget.Store(t == nil)
	if l.Room != nil {
		l.Room.Leads(t != nil)
	}
}

// Stats returns the counts so far.
func (l *Listener) Stats() Stats { return l.count.takeSnapshot() }

// Close releases the port and ends [Listener.Serve] as the end of its context does. It does not
// wait for Serve. It may be called at any time and more than once.
func (l *Listener) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.closed)
		for _, ln := range l.ls {
			err = errors.Join(err, ln.Close())
		}
	})
	if err != nil {
		return fmt.Errorf("close local port %d: %w", l.port, err)
	}
	return nil
}
