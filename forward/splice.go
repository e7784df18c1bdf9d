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

// lingerTime is how long a client that still sends may take to notice that the server has closed.
const lingerTime = 2 * time.Second

// splice copies bytes between local and remote until both directions have ended, one has failed, or
// ctx ends. It closes both connections, unless the Room takes local.
func (l *Listener) splice(ctx context.Context, local, remote net.Conn) {
	var handedOver atomic.Pointer[peekedConn] // set when the Room takes local
	resetBoth := sync.OnceFunc(func() {
		if handedOver.Load() == nil {
			resetConn(local)
		}
		resetConn(remote)
	})
	var begins atomic.Bool // the client's next bytes begin a request
	begins.Store(true)
	stop := context.AfterFunc(ctx, resetBoth)
	defer stop()

	var wg conc.WaitGroup
	down := make(chan struct{})
	wg.Go(func() {
		err := l.copyStream(remote, local, &l.count.sent, l.newHandoverCheck(local, &begins))
		var handover *handoverError
		switch {
		case err == nil:
		case errors.As(err, &handover):
			handedOver.Store(&peekedConn{Conn: local, peeked: handover.began})
			resetBoth()
		case errors.As(err, new(*writeError)):
			// The server has closed while the client still sends, for example too large an upload.
			// The server's last answer is on its way to the client, and closing now would destroy
			// it. So discard the upload until the answer is delivered.
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

// newHandoverCheck returns a function that reports whether these bytes hand an open connection over
// to the Room. On a guarded port only a connection whose client was silent at first can be handed
// over: with its first bytes, unless the Room's verdict is Yours.
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

// isHandover reports whether a connection goes to the Room at these bytes, while there is no
// target. A browser keeps its connections and would request its next page over one whose target is
// silent. Bytes that the Room claims begin a request, so the request before is answered completely.
func (l *Listener) isHandover(began []byte) bool {
	return l.noTarget.Load() && l.Room.Judge(began) == Mine
}

// handoverError ends the copy of a connection that goes to the Room, starting with these bytes.
type handoverError struct{ began []byte }

func (e *handoverError) Error() string { return "the connection is the room's now" }

// copyStream copies bytes from src to dst until src ends, and forwards that end. It returns a
// *handoverError if isHandover reports true, and a *writeError if dst fails.
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
			// If this fails, the read from dst in the other direction reports it better.
			_ = closeWrite(dst)
			return nil
		default:
			return err
		}
	}
}

// writeError is an error of the receiving end of a direction.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// closeWrite forwards the end of one direction. It returns errors.ErrUnsupported if c has no such end.
func closeWrite(c net.Conn) error {
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// resetConn closes c. If it is a TCP connection, the peer sees a reset instead of an end.
func resetConn(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// closeGracefully closes c so that the peer sees an end instead of an error. Closing it with unread
// data would reset it, so it reads and discards that data first, for at most lingerTime.
func closeGracefully(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = closeWrite(c)
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c)
}
