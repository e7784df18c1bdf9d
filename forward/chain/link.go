package chain

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// A sshConn is the SSH connection to one hop.
type sshConn struct {
	chain  *Chain // whose tasks it runs
	hop    string // its name
	conn   *monitoredConn
	client *ssh.Client
	told   chan struct{} // closed once the far side has told all it had to; nil: it tells nothing

	late       <-chan struct{} // holds a token when a write has had no answer for the connection's answerTimeout; nil: that is not watched
	lastProbe  time.Time       // when another connection to the hop was opened last
	probePause time.Duration   // for so long after that, none is tried
	wasLate    bool            // the last answer was: because of a stall, or of longer round trips, as the next one shows

	dead chan struct{} // closed once the client has ended, err set
	err  error
}

func newSSHConn(c *Chain, hop string, conn *monitoredConn, client *ssh.Client) *sshConn {
	return &sshConn{chain: c, hop: hop, conn: conn, client: client, dead: make(chan struct{})}
}

// learnTripTime takes in how long an answer took. A stall is no round trip: a late answer counts only if the next one, which is
// asked for soon, is late too.
func (l *sshConn) learnTripTime(took time.Duration) {
	if l.late == nil {
		return
	}
	if late := took > l.conn.answerTimeout(); late && !l.wasLate {
		l.wasLate = true
		return
	}
	l.wasLate = false
	l.conn.tripTime.Store((l.conn.tripTime.Load() + int64(took)) / 2)
}

// settleTime is how long a broken connection is given to break what carries it as
// well, or what it carries. When an outer link breaks, the inner ones break within microseconds,
// and the news may arrive in any order.
const settleTime = 50 * time.Millisecond

// watchSSHConn ends the chain when l ends; outer are the links that carry it.
func (c *Chain) watchSSHConn(l *sshConn, outer []*sshConn) {
	if l.err = l.client.Wait(); errors.Is(l.err, io.EOF) {
		// The host has hung up. To who reads from a connection in this one, io.EOF, however
		// deep it is wrapped, would be the end of the data.
		l.err = io.ErrUnexpectedEOF
	}
	if l.told != nil {
		<-l.told
	}
	close(l.dead)
	c.endChain(c.outermostError(l, outer))
}

// outermostError finds the outermost link that is broken: it is the one that broke the
// others.
func (c *Chain) outermostError(l *sshConn, outer []*sshConn) error {
	if lost := (*LostError)(nil); errors.As(l.err, &lost) {
		return lost // the connection it runs in knows
	}
	patience, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if c.parent != nil {
		select {
		case <-c.parent.done:
			if lost := (*LostError)(nil); errors.As(c.parent.err, &lost) {
				return lost
			}
			return &LostError{Hop: l.hop, Err: c.parent.err}
		case <-patience.Done():
		case <-c.done:
		}
	}
	for _, o := range outer {
		select {
		case <-o.dead:
			return &LostError{Hop: o.hop, Err: o.err}
		case <-patience.Done():
		case <-c.done: // someone knows already
		}
	}
	return &LostError{Hop: l.hop, Err: l.err}
}

// isBroken reports whether the link has ended or is about to, as far as can be
// known without waiting.
func (l *sshConn) isBroken() bool {
	return l.conn.hasFailed() || isClosed(l.dead) || isClosed(l.chain.done)
}

// cutError is what is said of a broken link when it takes too long to find out more.
func (l *sshConn) cutError() error { return &LostError{Hop: l.hop, Err: io.ErrUnexpectedEOF} }

// lostErrorOr returns the reason why the chain has ended, if it has or is about to,
// and otherwise err.
func (l *sshConn) lostErrorOr(err error) error {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-l.chain.done:
		return l.chain.err
	case <-l.dead:
		<-l.chain.done // follows at once
		return l.chain.err
	case <-timer.C:
		return err
	}
}

// openChannel opens a channel (RFC 4254 §5.1) and hands it over, or gives up
// when ctx ends; should it open after that, it is closed at once.
func (l *sshConn) openChannel(ctx context.Context, kind string, payload []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	handover, abandoned := make(chan opened), make(chan struct{})
	if err := ctx.Err(); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	ok := l.chain.startTask(func() {
		ch, reqs, err := l.client.OpenChannel(kind, payload)
		select {
		case handover <- opened{ch, reqs, err}:
		case <-abandoned:
			if err == nil {
				_ = ch.Close()
				ssh.DiscardRequests(reqs)
			}
		}
	})
	if !ok {
		return nil, nil, l.lostErrorOr(net.ErrClosed)
	}
	select {
	case o := <-handover:
		return o.ch, o.reqs, o.err
	case <-ctx.Done():
		close(abandoned)
		return nil, nil, context.Cause(ctx)
	}
}
