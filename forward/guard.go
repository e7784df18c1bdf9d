package forward

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// silence is how long a client of a guarded port may say nothing before its server may speak first.
	silence = 300 * time.Millisecond
	// undecidedTime is how long a client that has begun may leave open what it speaks.
	undecidedTime = time.Second
)

// meetGuarded gives a connection to the room if it speaks what the room answers, and refuses one of
// another protocol unless the room vouches for it (mine: it is over). Else it is given back, to be carried:
// with nothing lost of what was read, and unread if the client says nothing at first.
func (l *Listener) meetGuarded(ctx context.Context, local net.Conn) (c net.Conn, mine bool) {
	b := &begun{Conn: local}
	stop := context.AfterFunc(ctx, func() { _ = local.SetReadDeadline(time.Unix(1, 0)) })
	vouched := sync.OnceValue(func() bool { return l.Room.Vouch(local) })
	verdict := b.judgeWithin(l.Room, silence)
	if verdict == Undecided && len(b.read) == 0 && ctx.Err() == nil && !vouched() {
		verdict = b.judgeWithin(l.Room, 0)
	}
	// A browser opens connections in stock: what it says while there is no target may be the room's.
	if within, changed := l.judging(); verdict == Undecided && len(b.read) == 0 && ctx.Err() == nil && within != nil {
		_ = local.SetReadDeadline(time.Time{})
		if b.meet(ctx, l, within, changed) {
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
		abort(local)
		return nil, true
	case len(b.read) == 0:
		b.unjudged = true
	}
	return b, false
}

// judgeWithin reads until the room knows whose the connection is. Undecided: the client says nothing for
// so long (0: it may take its time), nothing more after a beginning, or has ended its half.
func (b *begun) judgeWithin(r Room, wait time.Duration) Verdict {
	for p := make([]byte, smallBuffer); ; {
		if len(b.read) > 0 {
			wait = undecidedTime
		}
		if wait > 0 {
			_ = b.SetReadDeadline(time.Now().Add(wait))
		} else {
			_ = b.SetReadDeadline(time.Time{})
		}
		n, err := b.Conn.Read(p)
		b.read = append(b.read, p[:n]...)
		if n > 0 {
			if v := r.Judge(b.read); v != Undecided {
				return v
			}
		}
		switch {
		case err != nil:
			return Undecided // an end comes again, with the next reading
		case len(b.read) > judgeMax:
			return Mine // the room says what is wrong with so long a beginning
		}
	}
}
