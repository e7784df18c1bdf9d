package chain

import (
	"context"
	"net"
	"slices"
	"time"
)

// When a network comes back, TCP notices late: it sends what was lost again at pauses that double, up to as long as the
// outage (RFC 6298, section 5.5), and so does the far side. A new connection has no such pause. So while the first hop
// does not answer, connections to it are tried. Some that fail and one that opens show that the network was away and is
// back. A link that is mute even then is silent, long before its keepalive is late, and another chain can be dialled.
//
// To sshd, a connection that opens is a client that does not log in, and sites count logins, too. So there is a rest
// after the dial and after one that has opened, twice as long as Options.Keepalive, and each time longer if the network
// was not away.

const (
	// minAnswerTimeout is the least time after which a write without an answer counts as late, and which a new connection
	// gets. On a line with longer round trips it is answerTimeoutTrips times as long as one. Two connections are begun before
	// TCP's third attempt, 1.4 s after the write; after a longer outage, the fourth is another 1.6 s away.
	minAnswerTimeout   = 400 * time.Millisecond
	answerTimeoutTrips = 3

	// outageTries is how many new connections in a row have failed when the network was away. On a line that loses
	// packets, one that opens is no sign of a return.
	outageTries = 2

	// returnGrace is how long a link has, at least, to answer when a new connection is open: after a short outage both
	// come back at once.
	returnGrace = 200 * time.Millisecond

	maxProbePause = 10 * time.Minute
)

// watchReturn tries the first hop again while a keepalive of l has no answer. The channel is closed when the network was
// away, is back, and l stays mute. Stop ends that.
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

func (c *Chain) awaitReturn(ctx context.Context, l *sshConn) bool {
	heard := l.conn.lastHeard.Load()
	staysSilent := func(d time.Duration) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return l.conn.lastHeard.Load() == heard
		case <-ctx.Done():
			return false
		}
	}
	patience := l.conn.answerTimeout()
	if !staysSilent(patience) {
		return false
	}
	for lost := 0; staysSilent(0); {
		if time.Since(l.lastProbe) < l.probePause || c.userInvolved.Load() || !c.opts.Redials() {
			if !staysSilent(patience) {
				return false
			}
			continue
		}
		began := time.Now()
		if !c.tryHop(ctx, l, patience) {
			lost++
			continue
		}
		l.lastProbe = time.Now()
		if lost < outageTries && isOurs(l.conn.LocalAddr()) {
			if lost == 0 {
				l.probePause = min(2*l.probePause, maxProbePause) // the network was not away: what the link waits for is not known
			}
			return false
		}
		return staysSilent(max(returnGrace, time.Since(began)))
	}
	return false
}

// tryHop opens another connection to where l leads, and closes it. If none opened, patience has passed.
func (c *Chain) tryHop(ctx context.Context, l *sshConn, patience time.Duration) (opened bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	remote := l.conn.RemoteAddr()
	conn, err := c.opts.NetDial(ctx, remote.Network(), remote.String())
	if err != nil {
		<-ctx.Done() // one that fails at once is no reason to hurry
		return false
	}
	_ = conn.Close()
	return true
}

// isOurs reports whether this machine still has the address. What was connected from one that is gone is lost: the
// machine has changed networks.
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
