package sshserver

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe is a connection in memory, with a buffer: x/crypto's two ends both write
// before they read, which would stand still over net.Pipe. It has half-close,
// and Freeze makes it a link that has died without a word. It knows no
// deadlines.
func Pipe() (a, b *Conn) {
	ab, ba := newBuffer(), newBuffer()
	return &Conn{in: ba, out: ab}, &Conn{in: ab, out: ba}
}

// Conn is one end of a Pipe.
type Conn struct{ in, out *buffer }

func (c *Conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite ends what the other end reads, after what is already written.
func (c *Conn) CloseWrite() error { c.out.endWrites(io.EOF); return nil }

// Close ends both directions; what was written can still be read.
func (c *Conn) Close() error {
	c.out.endWrites(io.EOF)
	c.in.closeReader()
	return nil
}

// Freeze makes the link swallow what is written and deliver nothing, in both
// directions, as when a cable is cut or a laptop sleeps. Thaw undoes it, and
// what was swallowed is delivered late.
func (c *Conn) Freeze() { c.in.setFrozen(true); c.out.setFrozen(true) }

// Thaw ends a Freeze.
func (c *Conn) Thaw() { c.in.setFrozen(false); c.out.setFrozen(false) }

func (c *Conn) LocalAddr() net.Addr              { return (*pipeAddr)(c) }
func (c *Conn) RemoteAddr() net.Addr             { return (*pipeAddr)(c) }
func (c *Conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *Conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *Conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// A pipeAddr is no other connection's.
type pipeAddr Conn

func (*pipeAddr) Network() string { return "pipe" }
func (*pipeAddr) String() string  { return "pipe" }

// buffer is one direction. It blocks on a condition variable only, which
// testing/synctest counts as durably blocked.
type buffer struct {
	mu     sync.Mutex
	cond   *sync.Cond
	data   []byte
	end    error // to the reader, once data is used up
	closed bool  // the reader has gone
	frozen bool
}

const bufferSize = 1 << 20

func newBuffer() *buffer {
	b := &buffer{}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *buffer) read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.closed:
			return 0, net.ErrClosed
		case b.frozen:
		case len(b.data) > 0:
			n := copy(p, b.data)
			b.data = b.data[n:]
			b.cond.Broadcast()
			return n, nil
		case b.end != nil:
			return 0, b.end
		}
		b.cond.Wait()
	}
}

var errBroken = errors.New("broken pipe")

func (b *buffer) write(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(p) > 0 {
		switch space := bufferSize - len(b.data); {
		case b.end != nil:
			return n, net.ErrClosed
		case b.closed:
			return n, errBroken
		case space > 0:
			m := min(space, len(p))
			b.data = append(b.data, p[:m]...)
			n, p = n+m, p[m:]
			b.cond.Broadcast()
			continue
		}
		b.cond.Wait()
	}
	return n, nil
}

func (b *buffer) changeState(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.cond.Broadcast()
}

func (b *buffer) endWrites(err error) {
	b.changeState(func() {
		if b.end == nil {
			b.end = err
		}
	})
}
func (b *buffer) closeReader()      { b.changeState(func() { b.closed = true }) }
func (b *buffer) setFrozen(on bool) { b.changeState(func() { b.frozen = on }) }
