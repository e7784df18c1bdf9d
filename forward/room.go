package forward

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
)

// A Room answers connections while there is no target, and judges those of a guarded port. It knows
// the protocols; the listener does not. Many goroutines call its methods at once.
type Room interface {
	// Judge decides who answers a connection whose client sent these first bytes. The listener may
	// call it again with more of them.
	Judge(began []byte) Verdict
	// Take gives the Room a connection, from its first byte on. It must not block.
	Take(c net.Conn)
	// Leads tells the Room whether there is a target now.
	Leads(there bool)
	// Expects returns until when the listener has connections judged though there is a target. A
	// client that just received an answer of the Room may be about to request the rest of the page.
	// The zero time means that none is expected.
	Expects() time.Time
	// Absent returns one sentence for the user that says why there is no target.
	Absent() string
	// Diverts reports whether the Room answers a request with these first bytes though there is a
	// target. The listener asks when a connection begins and after each answer. It must be quick.
	Diverts(began []byte) bool
	// Vouch reports whether a connection to a guarded port that the Room does not answer may be
	// forwarded. That depends on the process at its other end.
	Vouch(c net.Conn) bool
}

// A Verdict says who answers a connection.
type Verdict int

// Verdicts of a [Room].
const (
	Undecided Verdict = iota // more bytes are needed
	Mine                     // the Room answers it
	Yours                    // the target answers it, and the Room must not
)

// judgeMax limits how many bytes of a connection may be read to judge it, and so what a waiting
// connection keeps in memory. A connection with a longer head of its request goes to the target; of
// a guarded port it goes to the Room.
const judgeMax = 32 << 10

// offerToRoom lets the Room judge a connection while judgingWindow allows it. If the Room takes it,
// mine is true. Otherwise offerToRoom returns the connection to be forwarded, with all bytes that
// it has read.
//
// On an unguarded port with a target, and with no answer of the Room under way, the connection is
// returned unread.
func (l *Listener) offerToRoom(ctx context.Context, local net.Conn) (c net.Conn, mine bool) {
	if l.Guarded {
		return l.offerGuarded(ctx, local)
	}
	if within, changed := l.judgingWindow(); within != nil {
		b := &peekedConn{Conn: local}
		if b.awaitVerdict(ctx, l, within, changed) {
			l.Room.Take(b)
			return nil, true
		}
		if len(b.peeked) > 0 {
			return b, false
		}
	}
	return local, false
}

// judgingWindow returns how long connections are judged: until within receives a value, or not at
// all if within is nil. The caller asks again when changed is closed.
func (l *Listener) judgingWindow() (within <-chan time.Time, changed <-chan struct{}) {
	t, changed := l.target.get()
	if t == nil {
		return make(chan time.Time), changed
	}
	if rest := l.Room.Expects().Sub(l.now()); rest > 0 {
		return time.After(rest), changed
	}
	return nil, changed
}

// awaitVerdict reads until the Room has a verdict or the judging window ends.
func (b *peekedConn) awaitVerdict(ctx context.Context, l *Listener, within <-chan time.Time, changed <-chan struct{}) (mine bool) {
	judged := make(chan bool, 1)
	var reading conc.WaitGroup
	reading.Go(func() { judged <- b.readVerdict(l.Room) })
	defer func() {
		_ = b.SetReadDeadline(time.Unix(1, 0)) // ends a pending read
		reading.Wait()
		_ = b.SetReadDeadline(time.Time{})
		if len(judged) > 0 { // the verdict came at the same moment
			mine = <-judged
		}
	}()
	for within != nil {
		select {
		case mine := <-judged:
			return mine
		case <-changed:
			within, changed = l.judgingWindow()
		case <-within:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// A peekedConn is a connection of which some bytes were already read. Read returns those first.
type peekedConn struct {
	net.Conn
	peeked   []byte
	unjudged bool // it is being forwarded, and its first bytes are still to be judged
}

// readVerdict reads until the Room has a verdict. It returns false if the connection ends first.
func (b *peekedConn) readVerdict(r Room) (mine bool) {
	for p := make([]byte, smallBuffer); ; {
		verdict, err := b.readMore(r, p)
		if verdict != Undecided || err != nil || len(b.peeked) > judgeMax {
			return verdict == Mine // the next read returns the error again
		}
	}
}

// readMore reads once, into p, and returns the Room's verdict on all bytes so far.
func (b *peekedConn) readMore(r Room, p []byte) (Verdict, error) {
	n, err := b.Conn.Read(p)
	if n == 0 {
		return Undecided, err
	}
	b.peeked = append(b.peeked, p[:n]...)
	return r.Judge(b.peeked), err
}

// Read implements net.Conn.
func (b *peekedConn) Read(p []byte) (int, error) {
	if len(b.peeked) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.peeked)
	if b.peeked = b.peeked[n:]; len(b.peeked) == 0 {
		b.peeked = nil // frees the memory
	}
	return n, nil
}

// CloseWrite forwards the end of one direction.
func (b *peekedConn) CloseWrite() error { return closeWrite(b.Conn) }

// SetLinger implements the method that resetConn needs to reset the connection.
func (b *peekedConn) SetLinger(sec int) error {
	if c, ok := b.Conn.(interface{ SetLinger(sec int) error }); ok {
		return c.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Dial opens a connection to the target on the terms of a connection to the local port: it waits
// for a target, up to [Listener.Hold], and its bytes are counted. A [Room] uses it to forward a
// connection that it has taken. The error is a [*TargetError], a [*HoldError] or that of ctx.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	ctx, stop := cancelWhen(ctx, l.closed)
	defer stop()
	l.count.held.Add(1)
	c, err := l.openTarget(ctx)
	l.count.held.Add(-1)
	if err != nil {
		l.count.failed.Add(1)
		if ctx.Err() == nil {
			l.reportError(err)
		}
		return nil, err
	}
	l.count.open.Add(1)
	return &countingConn{Conn: c, l: l}, nil
}

// A countingConn is a connection that [Listener.Dial] has opened.
type countingConn struct {
	net.Conn
	l      *Listener
	closed sync.Once
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.l.count.received.Add(int64(n))
		c.l.count.touch(c.l.now())
	}
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.l.count.sent.Add(int64(n))
		c.l.count.touch(c.l.now())
	}
	return n, err
}

// CloseWrite forwards the end of one direction.
func (c *countingConn) CloseWrite() error { return closeWrite(c.Conn) }

func (c *countingConn) Close() error {
	c.closed.Do(func() { c.l.count.open.Add(-1) })
	return c.Conn.Close()
}
