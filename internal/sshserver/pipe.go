package sshserver

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe returns a connection in memory with a buffer. Both ends of x/crypto/ssh write before they read,
// which would deadlock over net.Pipe. The connection supports half-close, and Freeze imitates a
// network that drops everything. It has no deadlines.
func Pipe() (a, b *Conn) {
	ab, ba := newBuffer(), newBuffer()
	return &Conn{in: ba, out: ab}, &Conn{in: ab, out: ba}
}

// Conn is one end of a Pipe.
type Conn struct{ in, out *buffer }

func (c *Conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite makes the other end read io.EOF after all written data.
func (c *Conn) CloseWrite() error { c.out.endWrites(io.EOF); return nil }

// Close ends both directions. The other end can still read the written data.
func (c *Conn) Close() error {
	c.out.endWrites(io.EOF)
	c.in.closeReader()
	return nil
}

// Freeze delivers nothing in either direction, as when a cable is cut or a laptop sleeps. Writes
// succeed until the buffer is full. Thaw delivers the data late.
func (c *Conn) Freeze() { c.in.setFrozen(true); c.out.setFrozen(true) }

// Thaw ends a Freeze.
func (c *Conn) Thaw() { c.in.setFrozen(false); c.out.setFrozen(false) }

// ThawReads ends a Freeze for what the other end has sent.
func (c *Conn) ThawReads() { c.in.setFrozen(false) }

func (c *Conn) LocalAddr() net.Addr              { return (*pipeAddr)(c) }
func (c *Conn) RemoteAddr() net.Addr             { return (*pipeAddr)(c) }
func (c *Conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *Conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *Conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// A pipeAddr is an address that no other connection has.
type pipeAddr Conn

func (*pipeAddr) Network() string { return "pipe" }
func (*pipeAddr) String() string  { return "pipe" }

// buffer is one direction. It blocks only on a condition variable, which testing/synctest counts as
// durably blocked.
type buffer struct {
	mu     sync.Mutex
	cond   *sync.Cond
	data   []byte
	end    error // for the reader, after data
	closed bool  // the reader has closed
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

// write blocks while the buffer is full.
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
