package forward

import (
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
	resetBoth := sync.OnceFunc(func() {
		abort(local)
		abort(remote)
	})
	stop := context.AfterFunc(ctx, resetBoth)
	defer stop()

	var wg conc.WaitGroup
	down := make(chan struct{})
	wg.Go(func() {
		err := l.copy(remote, local, &l.count.sent)
		var gone *writeError
		switch {
		case err == nil:
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
	if err := l.copy(local, remote, &l.count.received); err != nil {
		resetBoth()
	}
	close(down)
	wg.Wait()
	_ = local.Close()
	_ = remote.Close()
}

// copy carries bytes from src to dst until src ends, and hands that end on.
func (l *Listener) copy(dst, src net.Conn, count *atomic.Int64) error {
	var b buffer
	defer b.free()
	for {
		p := b.get()
		n, err := src.Read(p)
		if n > 0 {
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
