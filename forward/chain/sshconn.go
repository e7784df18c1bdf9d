package chain

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// An sshConn is the SSH connection to one hop.
type sshConn struct {
	chain  *Chain // runs its tasks
	hop    string // name of the hop
	conn   *monitoredConn
	client *ssh.Client
	told   chan struct{} // closed when the far side has sent its last request; nil if it sends none

	late        <-chan struct{} // see watchAnswers; nil if that is not watched
	lastProbe   time.Time       // when another connection to the hop opened last
	unexplained int             // silences in a row in which the first tried connection opened
	wasLate     bool            // the last answer was late: a stall or longer round trips; the next one shows which

	dead chan struct{} // closed when the client has ended and err is set
	err  error
}

func newSSHConn(c *Chain, hop string, conn *monitoredConn, client *ssh.Client) *sshConn {
	return &sshConn{chain: c, hop: hop, conn: conn, client: client, dead: make(chan struct{})}
}

// learnTripTime records how long an answer took. A stall is no round trip: a late answer counts
// only if the next one, which is requested soon, is late too.
func (l *sshConn) learnTripTime(took time.Duration) {
	if l.late == nil {
		return
	}
	if late := took > l.conn.answerTimeout(); late && !l.wasLate {
		l.wasLate = true
		return
	}
	l.wasLate = false
	took = min(took, 2*l.conn.answerTimeout()) // it may have been another stall
	l.conn.tripTime.Store((l.conn.tripTime.Load() + int64(took)) / 2)
}

// settleTime is how long to wait for the news that other connections broke, before one is reported
// as the cause. When an outer SSH connection breaks, the inner ones break within microseconds, and
// the news may arrive in any order.
const settleTime = 50 * time.Millisecond

// watchSSHConn ends the chain when l ends. outer are the SSH connections that carry l.
func (c *Chain) watchSSHConn(l *sshConn, outer []*sshConn) {
	if l.err = l.client.Wait(); errors.Is(l.err, io.EOF) {
		// The host has hung up. A reader of a connection over this one would take any wrapped
		// io.EOF for the end of the data.
		l.err = io.ErrUnexpectedEOF
	}
	if l.told != nil {
		<-l.told
	}
	close(l.dead)
	c.endChain(c.outermostError(l, outer))
}

// outermostError returns the *LostError of the outermost broken connection, which broke the others.
func (c *Chain) outermostError(l *sshConn, outer []*sshConn) error {
	if lost := (*LostError)(nil); errors.As(l.err, &lost) {
		return lost // the connection that carries it knows the cause
	}
	settled, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if c.parent != nil {
		select {
		case <-c.parent.done:
			if lost := (*LostError)(nil); errors.As(c.parent.err, &lost) {
				return lost
			}
			return &LostError{Hop: l.hop, Err: c.parent.err}
		case <-settled.Done():
		case <-c.done:
		}
	}
	for _, o := range outer {
		select {
		case <-o.dead:
			return &LostError{Hop: o.hop, Err: o.err}
		case <-settled.Done():
		case <-c.done: // another watcher knows the cause
		}
	}
	return &LostError{Hop: l.hop, Err: l.err}
}

// isBroken reports whether the SSH connection has ended or is about to end, as far as is known
// without waiting.
func (l *sshConn) isBroken() bool {
	return l.conn.hasFailed() || isClosed(l.dead) || isClosed(l.chain.done)
}

// readError returns the error of a read from a channel whose own error is err. To x/crypto, the end
// of the connection is the end of every channel in it, and must not pass for the end of the data.
func (l *sshConn) readError(err error) error {
	if err != nil && l.isBroken() {
		return l.lostErrorOr(&LostError{Hop: l.hop, Err: io.ErrUnexpectedEOF})
	}
	return err
}

// lostErrorOr returns why the chain ended, if it has or does so within settleTime; otherwise err.
func (l *sshConn) lostErrorOr(err error) error {
	select {
	case <-l.chain.done:
		return l.chain.err
	case <-l.dead:
		<-l.chain.done // follows at once
		return l.chain.err
	case <-time.After(settleTime):
		return err
	}
}

// openChannel opens a channel (RFC 4254, section 5.1), or returns when ctx ends. A channel that
// opens after that is closed at once.
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
