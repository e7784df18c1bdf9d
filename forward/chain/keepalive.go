package chain

import (
	"time"
)

const (
	// checkInterval is how often a link is looked at: what a laptop that wakes up has to wait.
	checkInterval = 2 * time.Second

	// maxCheckDelay is the delay of a look, by the monotonic or the wall clock, after which the
	// process counts as stopped or the machine as asleep in between.
	maxCheckDelay = 5 * time.Second

	// wakeTimeout is how long a link may take to answer after that: behind a NAT it
	// rarely survives a sleep.
	wakeTimeout = 10 * time.Second

	// silenceMargin is how much longer than Options.Keepalive a link may be silent, though
	// it was asked, before that is told.
	silenceMargin = 5 * time.Second
)

// runKeepalive asks l's server for a sign of life whenever the link has been
// silent for a while, with the request that OpenSSH's ServerAliveInterval uses,
// and ends the chain when no answer comes. Anything that arrives counts as one: on a
// slow link the answer may have to wait behind the data.
//
// There is never a second request: on a dead link the first blocks for good, and holds a
// lock (golang/go#19338). Ending the chain is what frees it.
//
// Time in which this process does not run is no silence of the server's: the answer may
// be in the socket's buffer. After such a time the link is asked at once. The first hop is also
// asked when a write has no answer in time, if another chain would be dialled at a silence.
func (c *Chain) runKeepalive(l *sshConn) {
	period := min(checkInterval, c.opts.Keepalive)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	watch := c.newStopDetector()
	if l.conn.overNetwork && c.opts.Redials != nil {
		l.late, l.lastProbe, l.probePause = l.conn.watchAnswers(), time.Now(), 2*c.opts.Keepalive
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
		silence := l.conn.silentTime() // first: so a stop between the two readings is noticed
		stopped := watch.wasStopped(period)
		if !stopped && !late && !l.wasLate && silence < c.opts.Keepalive {
			continue
		}
		if !c.pingConn(l, watch, stopped) {
			return
		}
	}
}

// A stopDetector notices that this process did not run for a while, because it was stopped or
// the machine slept. A sleep stops the monotonic clock, except on Windows; a stop of
// the process stops neither clock. So the clock counts that shows more.
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
// should have been a period ago.
func (w *stopDetector) wasStopped(period time.Duration) bool {
	wall, now := w.wallClock(), time.Now()
	took := max(now.Sub(w.lastCheck), wall.Sub(w.lastWall))
	w.lastWall, w.lastCheck = wall, now
	return took > period+w.maxCheckDelay
}

// pingConn asks for a sign of life and reports whether one came. A link that is silent for
// too long is suspected, and then ended with the chain. Silence from before the question counts
// as Options.Keepalive at most. After a stop of this process, now or while the answer is
// waited for, the link has less time, which begins anew.
func (c *Chain) pingConn(l *sshConn, watch *stopDetector, stopped bool) bool {
	answer, asked := make(chan error, 1), time.Now()
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
	var awake time.Time // since when; zero: the process was not stopped
	period := min(time.Second, c.opts.Keepalive)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		// In this order, a stop between the two readings is noticed.
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
		case silence >= min(suspect, end) && !suspected:
			suspected = true
			stop() // who hears of it dials
			c.opts.Silence(l.hop, true)
		}
		select {
		case <-back:
			if back = nil; l.conn.silentTime() > returnGrace {
				suspect = 0
			}
		case err := <-answer:
			if suspected && err == nil {
				c.opts.Silence(l.hop, false)
			}
			if err == nil && awake.IsZero() && !suspected {
				took := time.Since(asked)
				l.learnTripTime(took)
				c.opts.RoundTrip(l.hop, took)
			}
			return err == nil // an error ends the link, and watch sees to that
		case <-c.done:
			return false
		case <-ticker.C:
		}
	}
}
