package chain

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A conn is a channel as a net.Conn.
//
// A Read or Write of a channel of x/crypto's ends when the far side, or the whole
// connection, does, and nothing else ends it; on a dead link, that is never
// soon. So both are called in goroutines of their own, and Close and deadlines
// let go of them at once; they end with the channel. The price is a copy and
// two switches for each 32 KiB, some 3 µs.
type conn struct {
	sshConn *sshConn
	ch      ssh.Channel
	remote  net.Addr

	once   sync.Once
	closed chan struct{} // by Close
	ended  chan struct{} // by the far side: the channel is no more

	readMu sync.Mutex // one Read at a time; guards rest
	rest   []byte     // of the chunk last taken
	more   chan struct{}
	chunks chan []byte // from the reader; closed after rerr is set
	rerr   error

	writeMu sync.Mutex // one Write at a time
	out     *coalescingWriter

	readBy, writeBy deadline
}

// lingerTimeout is how long what was written before Close may take to be sent.
const lingerTimeout = 5 * time.Second

func newConn(l *sshConn, ch ssh.Channel, reqs <-chan *ssh.Request, remote net.Addr) (net.Conn, error) {
	c := &conn{
		sshConn: l, ch: ch, remote: remote,
		closed: make(chan struct{}),
		ended:  make(chan struct{}),
		more:   make(chan struct{}, 1),
		chunks: make(chan []byte),
		out:    newCoalescingWriter(ch),
	}
	l.chain.conns.Add(1)
	var ended atomic.Bool // what has come in may be read after the channel has ended
	leave := func() {
		if ended.Swap(true) {
			l.chain.conns.Add(-1)
		}
	}
	ok := l.chain.startTask(func() { defer leave(); c.answerRequests(reqs) }) &&
		l.chain.startTask(func() { defer leave(); c.readChannel() }) &&
		l.chain.startTask(c.sendWritten)
	if !ok {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// answerRequests answers the requests that the far side makes on the channel: unread,
// they would stop the whole connection. It ends with the channel.
func (c *conn) answerRequests(reqs <-chan *ssh.Request) {
	var closing sync.WaitGroup
	defer closing.Wait()
	defer close(c.ended)
	closed := c.closed
	for {
		select {
		case req, ok := <-reqs:
			if !ok {
				return
			}
			_ = req.Reply(false, nil)
		case <-closed:
			closed = nil
			closing.Go(c.hangUp)
		}
	}
}

// hangUp closes the channel when what was written is sent, or cannot be.
func (c *conn) hangUp() {
	c.out.endInput()
	patience := runclock.NewTimer(lingerTimeout)
	defer patience.Stop()
	select {
	case <-c.out.ended:
	case <-patience.C:
	case <-c.ended:
	case <-c.sshConn.chain.done:
	}
	_ = c.ch.Close() // may have to wait for a transport that is stuck
}

// readChannel takes what comes in, a chunk at a time, and waits until it is read: also
// after the far side has closed, but not after the chain has ended.
func (c *conn) readChannel() {
	defer close(c.chunks)
	buf := make([]byte, 4<<10)
	for {
		n, err := c.ch.Read(buf)
		if n > 0 {
			select {
			case c.chunks <- buf[:n]:
			case <-c.closed:
				return
			case <-c.sshConn.chain.done:
				c.rerr = c.sshConn.chain.err
				return
			}
			select {
			case <-c.more:
			case <-c.closed:
				return
			case <-c.sshConn.chain.done:
				c.rerr = c.sshConn.chain.err
				return
			}
			if n == len(buf) && n < maxPacket {
				buf = make([]byte, maxPacket) // not an idle one
			}
		}
		if err != nil {
			if c.sshConn.isBroken() {
				// To x/crypto the end of the connection is the end of every
				// channel in it. It must not pass for the end of the data.
				err = c.sshConn.lostErrorOr(c.sshConn.cutError())
			}
			c.rerr = err
			return
		}
	}
}

func (c *conn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 {
		select {
		case chunk, ok := <-c.chunks:
			if !ok {
				if c.isClosed() {
					return 0, net.ErrClosed
				}
				return 0, c.rerr
			}
			c.rest = chunk
		case <-c.closed:
			return 0, net.ErrClosed
		case <-c.readBy.wait():
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.more <- struct{}{}
	}
	return n, nil
}

// sendWritten sends what is written, and then says that there is no more. It ends
// with the channel.
func (c *conn) sendWritten() {
	c.out.run(c.ended)
	_ = c.ch.CloseWrite()
}

// Write returns when p is on its way, not when it has arrived; a failure to
// send it is told by a later call, as by a socket.
func (c *conn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	select {
	case <-c.sshConn.chain.done: // the sender may not have noticed yet
		return 0, c.sshConn.chain.err
	default:
	}
	n, err := c.out.write(p, c.closed, c.writeBy.wait())
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = c.writeError()
	}
	return n, err
}

// writeError is what a Write says when the far side does not take any more:
// x/crypto has io.EOF for it, which in a Write would puzzle.
func (c *conn) writeError() error {
	switch {
	case c.isClosed():
		return net.ErrClosed
	case c.sshConn.isBroken():
		return c.sshConn.lostErrorOr(syscall.EPIPE)
	}
	return syscall.EPIPE
}

// CloseWrite sends EOF (RFC 4254 §5.3) after what was written; what the far side
// sends is still read.
func (c *conn) CloseWrite() error {
	c.out.endInput()
	return nil
}

// Close ends the channel in both directions and waits for nothing: what was
// written before is sent in the background, what comes in is not read any more.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *conn) LocalAddr() net.Addr  { return hopAddr{c.remote.Network(), "ssh"} }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.readBy.set(t)
	c.writeBy.set(t)
	return nil
}
func (c *conn) SetReadDeadline(t time.Time) error  { c.readBy.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.writeBy.set(t); return nil }

// A deadline is a channel that is closed when it has passed. The zero value
// never passes.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // its timer has fired and is about to close it
	}
	d.timer = nil
	if d.passed == nil || isClosed(d.passed) {
		d.passed = make(chan struct{})
	}
	switch until := time.Until(t); {
	case t.IsZero():
	case until <= 0:
		close(d.passed)
	default:
		passed := d.passed
		d.timer = time.AfterFunc(until, func() { close(passed) })
	}
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
