package forward

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/pool"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// Pauses after an accept that failed for lack of resources, as in net/http. Connections end within
// milliseconds and free their descriptors.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// changeGrace is how long tryTarget waits for a change of the target after a failed dial.
// Connections notice a lost network before the session removes the target. They then wait, as later
// ones do.
const changeGrace = 250 * time.Millisecond

// errServed is the error of a second call of Serve.
var errServed = errors.New("serve local port: served already")

// Serve accepts connections and forwards them to the target until ctx ends or [Listener.Close] is
// called. It then releases the port, closes the waiting connections, and resets the open ones. It
// returns nil when the last connection has ended, or an [*AcceptError] if the port fails before that.
//
// Serve may be called once.
func (l *Listener) Serve(ctx context.Context) error {
	if l.served.Swap(true) {
		return errServed
	}
	connCtx, reset := context.WithCancel(context.WithoutCancel(ctx))
	defer reset()

	var conns conc.WaitGroup
	accepts := pool.New().WithContext(ctx).WithCancelOnError().WithFirstError()
	accepts.Go(func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-l.closed:
		}
		return l.Close()
	})
	for _, ln := range l.ls {
		accepts.Go(func(ctx context.Context) error {
			return l.acceptConns(ctx, ln, func(c net.Conn) {
				conns.Go(func() { l.serveConn(connCtx, c) })
			})
		})
	}
	err := accepts.Wait()
	reset()
	conns.Wait()
	return err
}

// acceptConns passes each connection to handle until ln is closed. It reports temporary errors.
func (l *Listener) acceptConns(ctx context.Context, ln net.Listener, handle func(net.Conn)) error {
	pause := acceptPause
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = acceptPause
			l.count.total.Add(1)
			l.count.touch(l.now())
			handle(c)
			continue
		case errors.Is(err, net.ErrClosed):
			return nil
		case !isTemporary(err):
			return &AcceptError{Err: err}
		}
		l.reportError(&AcceptError{Err: err})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// isTemporary reports whether accept may work again after err: the system is short of descriptors
// or memory, or the client has already gone.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// serveConn serves one connection until it ends, or ctx does.
func (l *Listener) serveConn(ctx context.Context, local net.Conn) {
	l.count.held.Add(1)
	local, remote, err := l.routeConn(ctx, local)
	l.count.held.Add(-1)
	if local == nil {
		return // the Room has it
	}
	if err != nil {
		l.count.failed.Add(1)
		l.refuseConn(ctx, local, err)
		return
	}
	l.count.open.Add(1)
	defer l.count.open.Add(-1)
	l.splice(ctx, local, remote)
}

// routeConn lets the Room, if there is one, judge a connection, and opens a connection to the
// target for one that the Room does not take. The caller must use the returned local connection;
// nil means that the Room has it. If the target changes during the dial, the Room judges the
// connection again.
func (l *Listener) routeConn(ctx context.Context, local net.Conn) (net.Conn, net.Conn, error) {
	holdCtx, cancel := runclock.WithTimeoutCause(ctx, l.Hold, &HoldError{})
	defer cancel()
	for judged := false; ; judged = true {
		// On a guarded port the Room judges each connection once, after the client's first bytes.
		if b, _ := local.(*peekedConn); l.Room != nil && (!judged || !l.Guarded || b != nil && b.unjudged) {
			c, mine := l.offerToRoom(holdCtx, local)
			if mine {
				return nil, nil, nil
			}
			local = c
		}
		if remote, err := l.tryTarget(holdCtx); !errors.Is(err, errTargetChanged) {
			return local, remote, err
		}
	}
}

// openTarget waits for a target, up to Hold, and opens a connection to it.
func (l *Listener) openTarget(ctx context.Context) (net.Conn, error) {
	holdCtx, cancel := runclock.WithTimeoutCause(ctx, l.Hold, &HoldError{})
	defer cancel()
	for {
		if c, err := l.tryTarget(holdCtx); !errors.Is(err, errTargetChanged) {
			return c, err
		}
	}
}

// errTargetChanged is the error of tryTarget if the target was replaced or removed during the dial.
var errTargetChanged = errors.New("target changed")

// tryTarget waits for a target until holdCtx ends, and opens a connection to it.
func (l *Listener) tryTarget(holdCtx context.Context) (net.Conn, error) {
	t, changed, err := l.target.wait(holdCtx)
	if err != nil {
		return nil, context.Cause(holdCtx)
	}
	// A silent network returns no error, so a dial of the old target would block for the whole wait.
	dialCtx, stop := cancelWhen(holdCtx, changed)
	c, err := t(dialCtx)
	stop()
	if err == nil {
		return c, nil
	}
	select {
	case <-changed:
		return nil, errTargetChanged
	case <-holdCtx.Done():
		return nil, context.Cause(holdCtx)
	case <-time.After(changeGrace):
		return nil, &TargetError{Err: err}
	}
}

// cancelWhen returns a context that ends with parent, or when done is closed. stop ends it too, and
// waits for the goroutine.
func cancelWhen(parent context.Context, done <-chan struct{}) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	var watching conc.WaitGroup
	watching.Go(func() {
		select {
		case <-done:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(); watching.Wait() }
}

// refuseConn ends a connection that has no target.
//
// A connection that waited for Hold receives a 503 if its client speaks HTTP, and is closed in
// order. One that waited until the session's end is closed. One whose target failed is reset: a
// client may take the orderly end of an empty answer for a valid answer, such as an empty file or
// stream. It cannot take a reset for one, and browsers and HTTP libraries retry after it.
func (l *Listener) refuseConn(ctx context.Context, local net.Conn, err error) {
	switch {
	case errors.As(err, new(*TargetError)):
		l.reportError(err)
		resetConn(local)
	case errors.As(err, new(*HoldError)):
		l.reportError(err)
		why := Unavailable
		if l.Room != nil {
			why = l.Room.Absent()
		}
		turnAway(ctx, local, why)
	default: // the end of the session
		_ = local.Close()
	}
}

func (l *Listener) reportError(err error) {
	if l.Observe != nil {
		l.Observe(err)
	}
}
