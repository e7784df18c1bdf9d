package forward

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// clientSilence is how long a guarded port waits for the client, before the server may speak.
	clientSilence = 300 * time.Millisecond
	// undecidedTime is how long a client's first bytes may leave its protocol undecided.
	undecidedTime = time.Second
)

// offerGuarded passes a connection to the Room if the Room claims it. It resets one of another
// protocol unless the Room vouches for it. In both cases mine is true. Otherwise it returns the
// connection to be forwarded, with all bytes that it has read. The client may still have sent none.
func (l *Listener) offerGuarded(ctx context.Context, local net.Conn) (c net.Conn, mine bool) {
	b := &peekedConn{Conn: local}
	stop := context.AfterFunc(ctx, func() { _ = local.SetReadDeadline(time.Unix(1, 0)) })
	vouched := sync.OnceValue(func() bool { return l.Room.Vouch(local) })
	verdict := b.readVerdictWithin(l.Room, clientSilence)
	if verdict == Undecided && len(b.peeked) == 0 && ctx.Err() == nil && !vouched() {
		verdict = b.readVerdictWithin(l.Room, 0)
	}
	// A browser opens spare connections: without a target, the next request on one may be the
	// Room's.
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

// readVerdictWithin reads until the Room has a verdict. It returns Undecided if the client sends
// nothing for wait (0: no limit), sends no more after its first bytes, or ends its direction.
func (b *peekedConn) readVerdictWithin(r Room, wait time.Duration) Verdict {
	for p := make([]byte, smallBuffer); ; {
		if len(b.peeked) > 0 {
			wait = undecidedTime
		}
		var deadline time.Time
		if wait > 0 {
			deadline = time.Now().Add(wait)
		}
		_ = b.SetReadDeadline(deadline)
		verdict, err := b.readMore(r, p)
		switch {
		case verdict != Undecided || err != nil:
			return verdict // the next read returns the error again
		case len(b.peeked) > judgeMax:
			return Mine // the Room reports what is wrong with a first line of this length
		}
	}
}
