package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc"
)

// lingerTime is how long a client that is still sending may take to notice
// that nobody listens any more.
const lingerTime = 2 * time.Second

// splice carries bytes between local and remote until both directions have
// ended, one has failed, or ctx ends, and closes both connections.
func (l *Listener) splice(ctx context.Context, local, remote net.Conn) {
	var turned atomic.Pointer[begun] // the room's, from there on
	resetBoth := sync.OnceFunc(func() {
		if turned.Load() == nil {
			abort(local)
		}
		abort(remote)
	})
	var begins atomic.Bool // what the client sends next is no part of what it has begun
	begins.Store(true)
	stop := context.AfterFunc(ctx, resetBoth)
	defer stop()

	var wg conc.WaitGroup
	down := make(chan struct{})
	wg.Go(func() {
		err := l.copy(remote, local, &l.count.sent, l.turns(local, &begins))
		var gone *writeError
		var turn *turnError
		switch {
		case err == nil:
		case errors.As(err, &turn):
			turned.Store(&begun{Conn: local, read: turn.began})
			resetBoth()
		case errors.As(err, &gone):
			// The server has hung up while the client is still sending, too
			// large an upload for instance. Its last words are on their way
			// down, and closing now would destroy them: read on and forget,
			// until they are delivered.
			wg.Go(func() {
				<-down
				_ = local.SetReadDeadline(time.Now().Add(lingerTime))
			})
			_, _ = io.Copy(io.Discard, local)
		default:
			resetBoth()
		}
	})
	if err := l.copy(local, remote, &l.count.received, func([]byte) bool { begins.Store(true); return false }); err != nil {
		resetBoth()
	}
	close(down)
	wg.Wait()
	_ = remote.Close()
	if b := turned.Load(); b != nil && stop() {
		l.Room.Take(b)
		return
	}
	_ = local.Close()
}

// turns gives what tells whether a connection that is carried turns to the room with these bytes. Of a
// guarded port, only one whose client said nothing at first may: with its first bytes, unless the room is
// sure not to want them.
func (l *Listener) turns(local net.Conn, begins *atomic.Bool) func(began []byte) bool {
	if l.Room == nil {
		return nil
	}
	if !l.Guarded {
		return func(began []byte) bool {
			begin := begins.Swap(false)
			return l.isTurn(began) || begin && l.Room.Diverts(began)
		}
	}
	b, ok := local.(*begun)
	return func(began []byte) bool {
		first := ok && b.unjudged
		if ok {
			b.unjudged = false
		}
		return first && l.Room.Judge(began) != Yours
	}
}

// isTurn tells whether a connection that is carried turns to the room with these bytes. A
// browser keeps its connections, and would ask for its next page over one whose way has
// fallen silent. What the room takes for the beginning of its own is the beginning of a
// request, before which the last one was answered to its end.
func (l *Listener) isTurn(began []byte) bool {
	return l.away.Load() && l.Room.Judge(began) == Mine
}

// turnError ends the copying of a connection that is the room's from these bytes on.
type turnError struct{ began []byte }

func (e *turnError) Error() string { return "the connection is the room's now" }

// copy carries bytes from src to dst until src ends, and hands that end on, or until it
// comes upon the turn, which is a *turnError.
func (l *Listener) copy(dst, src net.Conn, count *atomic.Int64, isTurn func([]byte) bool) error {
	var b buffer
	defer b.free()
	for {
		p := b.get()
		n, err := src.Read(p)
		if n > 0 {
			if isTurn != nil && isTurn(p[:n]) {
				return &turnError{bytes.Clone(p[:n])}
			}
			if _, err := dst.Write(p[:n]); err != nil {
				return &writeError{err}
			}
			count.Add(int64(n))
			l.count.touch(l.now())
			b.used(n)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			// If this fails dst is gone, which reading from it tells best.
			closeWrite(dst)
			return nil
		default:
			return err
		}
	}
}

// writeError is the failure of the receiving end of a direction.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

func closeWrite(c net.Conn) {
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	}
}

// abort closes c so that its peer sees an error and not an end, where c knows
// the difference (TCP's reset).
func abort(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// linger closes c so that its peer sees an end and not an error. To close it
// with something unread would reset it, so that is read first, and forgotten.
func linger(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	closeWrite(c)
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c)
}
