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

// A Listener is a local port and the way its connections go. Its fields may be
// set until [Listener.Serve] is called.
type Listener struct {
	// Hold is how long a connection waits while there is no target, or none that
	// answers. Then it gets a 503, if it has asked for something in HTTP, and is
	// closed.
	Hold time.Duration
	// Drain is how long connections may go on after Serve was told to end.
	// Zero resets them at once.
	Drain time.Duration
	// Observe, if set, is told of each connection that came to nothing: a
	// [*TargetError], [*HoldError] or [*AcceptError]. It is called by many
	// goroutines at once, as often as it happens, and must not block.
	Observe func(error)
	// Room, if set, answers those of the connections that it wants, while there is no
	// target. Its answers are its own: Serve's end does not wait for them.
	Room Room
	// Guarded has the room judge every connection, whether there is a target or not. What it does not
	// answer is carried if it vouches for it. It may reach the target by [Listener.Dial].
	Guarded bool

	port     int
	ls       []net.Listener
	target   slot
	noTarget atomic.Bool // there is no target
	count    counters
	now      func() time.Time

	closed  chan struct{} // closed by Close
	closing sync.Once
	serving sync.Once
}

// Listen opens the local port on 127.0.0.1 and ::1. Port 0 is any that is free
// on both. Connections are taken up, but not answered, until
// [Listener.Serve] is called.
//
// The error is a [*PortBusyError] with the holder named where that can be
// seen, a [*PortDeniedError], or as the net package has it.
func Listen(port int) (*Listener, error) {
	ctx := context.Background()
	ls, err := bindLoopback(ctx, port)
	if err != nil {
		return nil, withHolder(ctx, err)
	}
	return newListener(ls), nil
}

// ListenFrom opens the first local port at or after port that is free; the
// caller tells from [Listener.Port] whether it is the one wished for, and from
// [Holder] who has that. If there is none, the error is that for port itself,
// as from [Listen].
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
		var busy *PortBusyError
		var denied *PortDeniedError
		if !errors.As(err, &busy) && !errors.As(err, &denied) {
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

// SetTarget says where connections go from now on, those that wait included;
// those that are being carried go on as they are. With nil, new connections
// wait until there is a target again, up to [Listener.Hold].
func (l *Listener) SetTarget(t Target) {
	l.target.set(t)
	l.noTarget.Store(t == nil)
	if l.Room != nil {
		l.Room.Leads(t != nil)
	}
}

// Stats returns the counts so far.
func (l *Listener) Stats() Stats { return l.count.takeSnapshot() }

// Close gives the port back and lets [Listener.Serve] end as if its context
// had. It does not wait for Serve, and may be called at any time, repeatedly.
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
