package chain

import (
	"context"
	"net"
	"slices"
	"time"
)

// When a network comes back, TCP notices late. It sends lost data again at pauses that double, up
// to the length of the outage (RFC 6298, section 5.5), and so does the far side. A new connection
// has no such pause. So while the first hop does not answer, the chain tries new connections to it.
// Some that fail and then one that opens show that the network was away and is back. If the
// keepalive on the old connection still has no answer, the chain reports a silence long before the
// keepalive is late, and the caller can dial another chain. Other data may arrive on the old
// connection meanwhile: the far side sends again at pauses of its own.
//
// To sshd, a connection that only opens is a client that does not log in, and sites count logins.
// So the chain tries none for a while after the dial, and after a tried connection that opened.
// That pause is twice Options.Keepalive. It doubles with each further silence in a row in which the
// network was not away.

const (
	// minAnswerTimeout is the least pause after a write at which a keepalive is due, and the timeout
	// of a tried connection. On a line with longer round trips it is answerTimeoutTrips round
	// trips. Two tried connections begin before TCP's third attempt, 1.4 s after the write. After a
	// longer outage, the fourth attempt is another 1.6 s away.
	minAnswerTimeout   = 400 * time.Millisecond
	answerTimeoutTrips = 3

	// outageTries is how many tried connections in a row must fail to show that the network was
	// away. On a line that loses packets, one that opens does not show a return.
	outageTries = 2

	// returnGrace is the least time that the keepalive has for its answer after a tried connection
	// has opened. After a short outage both come back at once. While data comes in, which may be
	// ahead of the answer, it has returnGraces such times.
	returnGrace  = 200 * time.Millisecond
	returnGraces = 4

	maxProbePause = 10 * time.Minute
)

// watchReturn tries connections to the first hop of l after a keepalive. back is closed when the
// network was away and is back. The caller calls stop when the keepalive is answered. stop ends the
// attempts and waits for them.
func (c *Chain) watchReturn(l *sshConn) (back <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	returned, ended := make(chan struct{}), make(chan struct{})
	if l.late == nil || !c.startTask(func() {
		defer close(ended)
		if c.awaitReturn(ctx, l) {
			close(returned)
		}
	}) {
		close(ended)
	}
	return returned, func() { cancel(); <-ended }
}

// awaitReturn reports whether the network was away and is back before ctx ends.
func (c *Chain) awaitReturn(ctx context.Context, l *sshConn) bool {
	heard := l.conn.lastHeard.Load()
	staysSilent := func(d time.Duration) bool {
		return pauseUnless(ctx, d) && l.conn.lastHeard.Load() == heard
	}
	timeout := l.conn.answerTimeout()
	if !staysSilent(timeout) {
		return false
	}
	for lost := 0; lost >= outageTries && ctx.Err() == nil || staysSilent(0); {
		if time.Since(l.lastProbe) < c.probePause(l) || c.userInvolved.Load() || !c.opts.Redials() {
			if !staysSilent(timeout) {
				return false
			}
			continue
		}
		began := time.Now()
		if !c.tryHop(ctx, l, timeout) {
			lost++
			continue
		}
		calm := time.Since(l.lastProbe) > 4*c.probePause(l)
		l.lastProbe = time.Now()
		if lost < outageTries && isOurs(l.conn.LocalAddr()) {
			if calm {
				l.unexplained = 0
			}
			if lost == 0 { // the network was away for less than a try, or it is another cause
				l.unexplained++
			}
			return false
		}
		return staysUnanswered(ctx, l, max(returnGrace, time.Since(began)))
	}
	return false
}

// staysUnanswered reports whether ctx, which the answer ends, outlives grace; returnGraces times
// that while data comes in.
func staysUnanswered(ctx context.Context, l *sshConn, grace time.Duration) bool {
	for range returnGraces {
		if !pauseUnless(ctx, grace) {
			return false
		}
		if l.conn.silentTime() >= grace {
			break
		}
	}
	return true
}

// pauseUnless waits for d. It returns false, at once, if ctx ends.
func pauseUnless(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// probePause returns for how long after l.lastProbe no connection is tried.
func (c *Chain) probePause(l *sshConn) time.Duration {
	pause := 2 * c.opts.Keepalive
	for range l.unexplained - 1 {
		pause = min(2*pause, maxProbePause)
	}
	return pause
}

// tryHop opens another connection to the address of l, and closes it. It returns false only after
// timeout has passed or ctx has ended.
func (c *Chain) tryHop(ctx context.Context, l *sshConn, timeout time.Duration) (opened bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	remote := l.conn.RemoteAddr()
	conn, err := c.opts.NetDial(ctx, remote.Network(), remote.String())
	if err != nil {
		<-ctx.Done() // keep the pace even if the attempt failed at once
		return false
	}
	_ = conn.Close()
	return true
}

// isOurs reports whether this machine still has the local address of a connection. If not, the
// machine has changed networks and the connection is lost.
func isOurs(local net.Addr) bool {
	tcp, ok := local.(*net.TCPAddr)
	if !ok {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(addrs, func(a net.Addr) bool {
		ip, ok := a.(*net.IPNet)
		return ok && ip.IP.Equal(tcp.IP)
	})
}
