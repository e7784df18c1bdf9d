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
	var handedOver atomic.Pointer[peekedConn] // the room's, from there on
	resetBoth := sync.OnceFunc(func() {
		if handedOver.Load() == nil {
			resetConn(local)
		}
		resetConn(remote)
	})
	var begins atomic.Bool // what the client sends next is no part of what it has begun
	begins.Store(true)
	stop := context.AfterFunc(ctx, resetBoth)
	defer stop()

	var wg conc.WaitGroup
	down := make(chan struct{})
	wg.Go(func() {
		err := l.copyStream(remote, local, &l.count.sent, l.newHandoverCheck(local, &begins))
		var gone *writeError
		var handover *handoverError
		switch {
		case err == nil:
		case errors.As(err, &handover):
			handedOver.Store(&peekedConn{Conn: local, peeked: handover.began})
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
	if err := l.copyStream(local, remote, &l.count.received, func([]byte) bool { begins.Store(true); return false }); err != nil {
		resetBoth()
	}
	close(down)
	wg.Wait()
	_ = remote.Close()
	if b := handedOver.Load(); b != nil && stop() {
		l.Room.Take(b)
		return
	}
	_ = local.Close()
}

// newHandoverCheck gives what tells whether a connection that is carried turns to the room with these bytes. Of a
// guarded port, only one whose client said nothing at first may: with its first bytes, unless the room is
// sure not to want them.
func (l *Listener) newHandoverCheck(local net.Conn, begins *atomic.Bool) func(began []byte) bool {
	if l.Room == nil {
		return nil
	}
	if !l.Guarded {
		return func(began []byte) bool {
			begin := begins.Swap(false)
			return l.isHandover(began) || begin && l.Room.Diverts(began)
		}
	}
	b, ok := local.(*peekedConn)
	return func(began []byte) bool {
		first := ok && b.unjudged
		if ok {
			b.unjudged = false
		}
		return first && l.Room.Judge(began) != Yours
	}
}

// isHandover tells whether a connection that is carried turns to the room with these bytes. A
// browser keeps its connections, and would ask for its next page over one whose way has
// fallen silent. What the room takes for the beginning of its own is the beginning of a
// request, before which the last one was answered to its end.
func (l *Listener) isHandover(began []byte) bool {
	return l.noTarget.Load() && l.Room.Judge(began) == Mine
}

// handoverError ends the copying of a connection that is the room's from these bytes on.
type handoverError struct{ began []byte }

func (e *handoverError) Error() string { return "the connection is the room's now" }

// copyStream carries bytes from src to dst until src ends, and hands that end on, or until it
// comes upon the turn, which is a *handoverError.
func (l *Listener) copyStream(dst, src net.Conn, count *atomic.Int64, isHandover func([]byte) bool) error {
	var b buffer
	defer b.releaseLarge()
	for {
		p := b.get()
		n, err := src.Read(p)
		if n > 0 {
			if isHandover != nil && isHandover(p[:n]) {
				return &handoverError{bytes.Clone(p[:n])}
			}
			if _, err := dst.Write(p[:n]); err != nil {
				return &writeError{err}
			}
			count.Add(int64(n))
			l.count.touch(l.now())
			b.adjustSize(n)
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

// resetConn closes c so that its peer sees an error and not an end, where c knows
// the difference (TCP's reset).
func resetConn(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// closeGracefully closes c so that its peer sees an end and not an error. To close it
// with something unread would reset it, so that is read first, and forgotten.
func closeGracefully(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	closeWrite(c)
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c)
}
