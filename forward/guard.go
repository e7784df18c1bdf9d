package forward

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// clientSilence is how long a client of a guarded port may say nothing before its server may speak first.
	clientSilence = 300 * time.Millisecond
	// undecidedTime is how long a client that has begun may leave open what it speaks.
	undecidedTime = time.Second
)

// offerGuarded gives a connection to the room if it speaks what the room answers, and refuses one of
// another protocol unless the room vouches for it (mine: it is over). Else it is given back, to be carried:
// with nothing lost of what was read, and unread if the client says nothing at first.
func (l *Listener) offerGuarded(ctx context.Context, local net.Conn) (c net.Conn, mine bool) {
	b := &peekedConn{Conn: local}
	stop := context.AfterFunc(ctx, func() { _ = local.SetReadDeadline(time.Unix(1, 0)) })
	vouched := sync.OnceValue(func() bool { return l.Room.Vouch(local) })
	verdict := b.readVerdictWithin(l.Room, clientSilence)
	if verdict == Undecided && len(b.peeked) == 0 && ctx.Err() == nil && !vouched() {
		verdict = b.readVerdictWithin(l.Room, 0)
	}
	// A browser opens connections in stock: what it says while there is no target may be the room's.
	if within, changed := l.judgingWindow(); verdict == Undecided && len(b.peeked) == 0 && ctx.Err() == nil && within != nil {
		_ = local.SetReadDeadline(time.Time{})
		if b.awaitVerdict(ctx, l, within, changed) {
			verdict = Mine
		}
	}
	stop()
	_ = local.SetReadDeadline(time.Time{})
	switch {
	case ctx.Err() != nil:
		_ = local.Close()
		return nil, true
	case verdict == Mine:
		l.Room.Take(b)
		return nil, true
	case !vouched():
		resetConn(local)
		return nil, true
	case len(b.peeked) == 0:
		b.unjudged = true
	}
	return b, false
}

// readVerdictWithin reads until the room knows whose the connection is. Undecided: the client says nothing for
// so long (0: it may take its time), nothing more after a beginning, or has ended its half.
func (b *peekedConn) readVerdictWithin(r Room, wait time.Duration) Verdict {
	for p := make([]byte, smallBuffer); ; {
		if len(b.peeked) > 0 {
			wait = undecidedTime
		}
		if wait > 0 {
			_ = b.SetReadDeadline(time.Now().Add(wait))
		} else {
			_ = b.SetReadDeadline(time.Time{})
		}
		n, err := b.Conn.Read(p)
		b.peeked = append(b.peeked, p[:n]...)
		if n > 0 {
			if v := r.Judge(b.peeked); v != Undecided {
				return v
			}
		}
		switch {
		case err != nil:
			return Undecided // an end comes again, with the next reading
		case len(b.peeked) > judgeMax:
			return Mine // the room says what is wrong with so long a beginning
		}
	}
}
