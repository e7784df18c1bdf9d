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

// Pauses after an accept that failed for want of something, as net/http has
// them: connections end, and descriptors come back, by the millisecond.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// changeGrace is how long the failure of a target waits for the target to be
// changed. When the way to the server is lost, connections learn it before
// whoever sets the target does; they are held then, like all that come later.
const changeGrace = 250 * time.Millisecond

// errServed is the mistake of serving twice.
var errServed = errors.New("serve local port: served already")

// Serve accepts connections and carries them to the target until ctx ends or
// [Listener.Close] is called. It gives the port back then, closes the
// connections that wait, resets those that are carried (after
// [Listener.Drain]), and returns nil when the last has gone. It returns an
// [*AcceptError] if the port is lost otherwise.
//
// It may be called once.
func (l *Listener) Serve(ctx context.Context) error {
	first := false
	l.serving.Do(func() { first = true })
	if !first {
		return errServed
	}
	waitCtx, endWait := context.WithCancel(ctx)
	defer endWait()
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
				conns.Go(func() { l.serveConn(waitCtx, connCtx, c) })
			})
		})
	}
	err := accepts.Wait()

	endWait()
	if l.Drain <= 0 {
		reset()
	} else {
		defer time.AfterFunc(l.Drain, reset).Stop()
	}
	conns.Wait()
	return err
}

// acceptConns hands each connection of ln to handle until ln is closed. It survives
// what passes.
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

// isTemporary tells whether accept may work again after err: the system is short
// of descriptors or memory, or the client has gone meanwhile.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// serveConn lives the life of one connection. waitCtx ends its waiting for a
// target, connCtx the whole.
func (l *Listener) serveConn(waitCtx, connCtx context.Context, local net.Conn) {
	l.count.held.Add(1)
	local, remote, err := l.routeConn(waitCtx, local)
	l.count.held.Add(-1)
	if local == nil {
		return // it is the room's
	}
	if err != nil {
		l.count.failed.Add(1)
		l.refuseConn(waitCtx, local, err)
		return
	}
	l.count.open.Add(1)
	defer l.count.open.Add(-1)
	l.splice(connCtx, local, remote)
}

// routeConn lets the room judge a connection, if there is one, and opens one to the target for
// what is not the room's. What it gives back of local is to be used instead; nil: the room
// has it. A target that is given up while it is asked sends the connection back to the room.
func (l *Listener) routeConn(waitCtx context.Context, local net.Conn) (net.Conn, net.Conn, error) {
	holdCtx, cancel := runclock.WithTimeoutCause(waitCtx, l.Hold, &HoldError{})
	defer cancel()
	for judged := false; ; judged = true {
		// A guarded port judges each connection once that has said something.
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

// openTarget waits for a target, for as long as Hold, and opens a connection to it.
func (l *Listener) openTarget(ctx context.Context) (net.Conn, error) {
	holdCtx, cancel := runclock.WithTimeoutCause(ctx, l.Hold, &HoldError{})
	defer cancel()
	for {
		if c, err := l.tryTarget(holdCtx); !errors.Is(err, errTargetChanged) {
			return c, err
		}
	}
}

// errTargetChanged is tryTarget's error when another target, or none, took the place of the one it asked.
var errTargetChanged = errors.New("target changed")

// tryTarget waits for a target, for as long as holdCtx allows, and opens a connection to it.
func (l *Listener) tryTarget(holdCtx context.Context) (net.Conn, error) {
	t, changed, err := l.target.wait(holdCtx)
	if err != nil {
		return nil, context.Cause(holdCtx)
	}
	c, err := dialUntilChanged(holdCtx, t, changed)
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

// dialUntilChanged opens a connection to a target, until that is not the target any more: a
// network that has fallen silent fails nothing, and who waits for it must neither
// miss the way that is found around it nor wait for longer than the others.
func dialUntilChanged(ctx context.Context, t Target, changed <-chan struct{}) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	var watching conc.WaitGroup
	defer func() {
		cancel()
		watching.Wait()
	}()
	watching.Go(func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	})
	return t(ctx)
}

// refuseConn ends a connection that has no target to go to.
//
// One that waited in vain is told so, if it speaks HTTP, and closed in order, as is
// one that waited until the session's end: nothing is wrong with it. One whose target failed is reset, because to a
// client the orderly end of an empty answer can be an answer: an empty file, a
// stream with nothing in it. A reset cannot be taken for one, and browsers and
// HTTP libraries know to try again after it.
func (l *Listener) refuseConn(ctx context.Context, local net.Conn, err error) {
	var failed *TargetError
	var waited *HoldError
	switch {
	case errors.As(err, &failed):
		l.reportError(err)
		resetConn(local)
	case errors.As(err, &waited):
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
