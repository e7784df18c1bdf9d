package forward

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
)

// A Room keeps company those who come while there is no target. It knows what they
// speak; the listener does not. Its methods are called by many goroutines at once.
type Room interface {
	// Judge says whose a connection is whose client has begun with these bytes.
	// It may be asked again with more of them.
	Judge(began []byte) Verdict
	// Take makes a connection the room's own, from its first byte on. It must not block.
	Take(c net.Conn)
	// Leads tells the room whether there is a target now.
	Leads(there bool)
	// Expects is until when connections are to be judged though there is a target:
	// whoever got an answer of the room's a moment ago may be about to ask for the rest of
	// it. Zero: they are not.
	Expects() time.Time
	// Absent says in one sentence, for a person, why there is no target.
	Absent() string
	// Diverts reports whether the room answers what a client begins with though there is a target. It is
	// asked when a connection begins, and after an answer; it must be quick.
	Diverts(began []byte) bool
	// Vouch reports whether a connection to a guarded port may be carried that the room does not
	// answer, because of who is at its other end.
	Vouch(c net.Conn) bool
}

// A Verdict is whose a connection is.
type Verdict int

// Verdicts of a [Room].
const (
	Undecided Verdict = iota // more bytes are needed
	Mine                     // the room answers it
	Yours                    // it waits for the target, and for nobody else
)

// judgeMax is how much of a connection may be read to judge it: it bounds what is kept of
// one that waits. Requests with more in front of their body go to the target.
const judgeMax = 32 << 10

// offerToRoom lets the room judge a connection for as long as that is called for. mine: it is the
// room's now. Else it is given back, to be carried, with nothing lost of what was read.
//
// A connection that comes when there is a target, and no answer of the room's is under way,
// is given back as it is, unread: the room costs it nothing.
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

// judgingWindow says for how long connections are to be judged: nil for not at all, else until it
// receives, and until changed is closed when that must be asked again.
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

// awaitVerdict reads until the room has judged, for as long as it may.
func (b *peekedConn) awaitVerdict(ctx context.Context, l *Listener, within <-chan time.Time, changed <-chan struct{}) (mine bool) {
	judged := make(chan bool, 1)
	var reading conc.WaitGroup
	reading.Go(func() { judged <- b.readVerdict(l.Room) })
	defer func() {
		_ = b.SetReadDeadline(time.Unix(1, 0)) // ends the reading, if it has not ended
		reading.Wait()
		_ = b.SetReadDeadline(time.Time{})
		if len(judged) > 0 { // in the same moment
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

// A peekedConn is a connection of which something was read already. It gives that first.
type peekedConn struct {
	net.Conn
	peeked   []byte
	unjudged bool // it is carried, and its first bytes are still to be judged
}

// readVerdict reads until the room knows whose the connection is; false, too, if there is no more
// to read.
func (b *peekedConn) readVerdict(r Room) (mine bool) {
	for p := make([]byte, smallBuffer); ; {
		n, err := b.Conn.Read(p)
		b.peeked = append(b.peeked, p[:n]...)
		if n > 0 {
			switch r.Judge(b.peeked) {
			case Mine:
				return true
			case Yours:
				return false
			}
		}
		if err != nil || len(b.peeked) > judgeMax {
			return false // an error comes again, with the next reading
		}
	}
}

// Read implements net.Conn.
func (b *peekedConn) Read(p []byte) (int, error) {
	if len(b.peeked) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.peeked)
	if b.peeked = b.peeked[n:]; len(b.peeked) == 0 {
		b.peeked = nil // what was kept is gone
	}
	return n, nil
}

// CloseWrite hands the end of one direction on.
func (b *peekedConn) CloseWrite() error {
	if c, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger lets the connection be reset.
func (b *peekedConn) SetLinger(sec int) error {
	if c, ok := b.Conn.(interface{ SetLinger(sec int) error }); ok {
		return c.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Dial opens a connection to the target as one that came to the local port has it: it waits
// for a target, up to [Listener.Hold], and its bytes are counted. It is for a [Room] that has
// taken a connection to carry it on by itself. The error is a [*TargetError] or [*HoldError],
// or ctx's.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching conc.WaitGroup
	defer watching.Wait()
	watched, done := context.WithCancel(ctx)
	defer done()
	watching.Go(func() {
		select {
		case <-l.closed:
			cancel()
		case <-watched.Done():
		}
	})
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

// A countingConn connection is one of Dial's.
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

// CloseWrite hands the end of one direction on.
func (c *countingConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *countingConn) Close() error {
	c.closed.Do(func() { c.l.count.open.Add(-1) })
	return c.Conn.Close()
}
