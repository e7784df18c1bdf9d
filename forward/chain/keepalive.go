package chain

import (
	"time"
)

const (
	// checkInterval is how often a connection is checked: the longest wait after a laptop wakes up.
	checkInterval = 2 * time.Second

	// maxCheckDelay is the delay of a check, by the monotonic or the wall clock, above which the
	// process counts as stopped or the machine as asleep.
	maxCheckDelay = 5 * time.Second

	// wakeTimeout is how long a connection may take to answer after that. Behind a NAT it rarely
	// survives a sleep.
	wakeTimeout = 10 * time.Second

	// silenceMargin is how long after Options.Keepalive the chain reports a silence.
	silenceMargin = 5 * time.Second
)

// runKeepalive sends a keepalive on l when it has been silent for Options.Keepalive, with the
// request of OpenSSH's ServerAliveInterval. It ends the chain if no answer comes. Any incoming byte
// counts as an answer, since on a slow line the answer waits behind data. It does not after an
// outage: see awaitReturn.
//
// There is never a second request. On a dead connection the first one blocks, and it holds a lock
// of x/crypto (golang/go#19338), until the end of the chain.
//
// Time in which this process does not run is no silence of the server: the answer may already be in
// the socket's buffer. After such a time runKeepalive asks at once. With Options.Redials, it also
// asks when the traffic on the first hop pauses: see watchAnswers.
func (c *Chain) runKeepalive(l *sshConn) {
	period := min(checkInterval, c.opts.Keepalive)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	watch := c.newStopDetector()
	if l.conn.overNetwork && c.opts.Redials != nil {
		l.late, l.lastProbe = l.conn.watchAnswers(), time.Now()
	}
	for {
		late := false
		select {
		case <-ticker.C:
		case <-l.late:
			late = true
		case <-c.done:
			return
		}
		silence := l.conn.silentTime() // read first, so a stop between the two readings is noticed
		stopped := watch.wasStopped(period)
		if !stopped && !late && !l.wasLate && silence < c.opts.Keepalive {
			continue
		}
		if !c.pingConn(l, watch, stopped) {
			return
		}
	}
}

// A stopDetector notices that this process did not run for a while, because it was stopped or the
// machine slept. A sleep stops the monotonic clock, except on Windows. A stop of the process stops
// neither clock. So the larger of the two intervals counts.
type stopDetector struct {
	wallClock           func() time.Time
	maxCheckDelay       time.Duration
	lastWall, lastCheck time.Time
}

func (c *Chain) newStopDetector() *stopDetector {
	w := &stopDetector{wallClock: c.opts.wall, maxCheckDelay: min(maxCheckDelay, c.opts.Tolerance/2)}
	w.wasStopped(0)
	return w
}

// wasStopped reports whether the process did not run for a while since the last call, which
// should have been period ago.
func (w *stopDetector) wasStopped(period time.Duration) bool {
	wall, now := w.wallClock(), time.Now()
	took := max(now.Sub(w.lastCheck), wall.Sub(w.lastWall))
	w.lastWall, w.lastCheck = wall, now
	return took > period+w.maxCheckDelay
}

// pingConn sends a keepalive and reports whether an answer came. It reports a connection that is
// silent for too long, and later ends the chain. Silence before the request counts as
// Options.Keepalive at most. After a stop of this process, before or during the wait, the
// connection has less time, counted from the stop's end.
func (c *Chain) pingConn(l *sshConn, watch *stopDetector, stopped bool) bool {
	answer, asked := make(chan error, 1), time.Now()
	l.conn.setAsking(true)
	defer l.conn.setAsking(false)
	ok := c.startTask(func() {
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	})
	if !ok {
		return false
	}
	back, stop := c.watchReturn(l)
	defer stop()
	suspected := false
	suspect, end := c.opts.Keepalive+silenceMargin, c.opts.Keepalive+c.opts.Tolerance
	var awake time.Time // when the process ran again; zero if it was not stopped
	period := min(time.Second, c.opts.Keepalive)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		// This order notices a stop between the two readings.
		silence := min(l.conn.silentTime(), c.opts.Keepalive+time.Since(asked))
		if watch.wasStopped(period) || stopped {
			stopped, awake = false, time.Now()
			suspect, end = time.Second, min(c.opts.Tolerance, wakeTimeout)
		}
		if !awake.IsZero() {
			silence = min(silence, time.Since(awake))
		}
		switch {
		case silence >= end:
			c.endChain(&LostError{Hop: l.hop, Silence: l.conn.silentTime(), Err: errNoKeepaliveAnswer})
			return false
		case silence >= min(suspect, end) && !suspected && len(answer) == 0:
			suspected = true
			stop() // the receiver of the silence dials
			c.opts.Silence(l.hop, true)
		}
		select {
		case <-back:
			back, suspect = nil, 0
		case err := <-answer:
			if suspected && err == nil {
				c.opts.Silence(l.hop, false)
			}
			if err == nil && awake.IsZero() && !suspected {
				took := time.Since(asked)
				l.learnTripTime(took)
				c.opts.RoundTrip(l.hop, took)
			}
			return err == nil // after an error, watchSSHConn ends the chain
		case <-c.done:
			return false
		case <-ticker.C:
		}
	}
}
