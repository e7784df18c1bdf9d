package chain

import (
	"time"
)

const (
	// look is how often a link is looked at: what a laptop that wakes up has to wait.
	look = 2 * time.Second

	// wakeful is by how much the wall clock may run ahead of the program's own between
	// two looks, before the machine is taken to have slept.
	wakeful = 5 * time.Second

	// afterSleep is how long a link is waited for that has slept along: behind a NAT
	// it rarely survives that.
	afterSleep = 10 * time.Second

	// suspicion is how much longer than Options.Keepalive a link may be silent, though
	// it was asked, before that is told.
	suspicion = 5 * time.Second
)

// keepalive asks l's server for a sign of life whenever the link has been
// silent for a while, with the request that OpenSSH's ServerAliveInterval uses,
// and ends the chain when no answer comes. Anything that arrives counts as one: on a
// slow link the answer may have to wait behind the data.
//
// There is never a second request: on a dead link the first blocks for good, and holds a
// lock (golang/go#19338). Ending the chain is what frees it.
func (c *Chain) keepalive(l *link) {
	ticker := time.NewTicker(min(look, c.opts.Keepalive))
	defer ticker.Stop()
	wall, looked := c.opts.wall(), time.Now()
	for {
		select {
		case <-ticker.C:
		case <-c.done:
			return
		}
		// Asleep, a machine's wall clock goes on, the program's own does not.
		slept := c.opts.wall().Sub(wall)-time.Since(looked) > wakeful
		wall, looked = c.opts.wall(), time.Now()
		alive := true
		switch {
		case slept:
			alive = c.ping(l, time.Second, min(c.opts.Tolerance, afterSleep))
		case l.conn.silence() >= c.opts.Keepalive:
			alive = c.ping(l, c.opts.Keepalive+suspicion, c.opts.Keepalive+c.opts.Tolerance)
		}
		if !alive {
			return
		}
	}
}

// ping asks for a sign of life and reports whether one came. After that much silence
// the link is suspected, and after that much the chain is ended.
func (c *Chain) ping(l *link, suspect, end time.Duration) bool {
	answer := make(chan error, 1)
	ok := c.spawn(func() {
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	})
	if !ok {
		return false
	}
	suspected := false
	asked := time.Now()
	timer := time.NewTimer(max(suspect-l.conn.silence(), time.Second))
	defer timer.Stop()
	for {
		select {
		case err := <-answer:
			if suspected && err == nil {
				c.opts.Silence(l.hop, false)
			}
			return err == nil // an error ends the link, and watch sees to that
		case <-c.done:
			return false
		case <-timer.C:
		}
		// A link that had slept is not to blame for the time before it was asked.
		silence := min(l.conn.silence(), time.Since(asked)+c.opts.Keepalive)
		switch {
		case silence >= end:
			c.finish(&LostError{Hop: l.hop, Silence: silence, Err: errSilent})
			return false
		case silence >= min(suspect, end) && !suspected:
			suspected = true
			c.opts.Silence(l.hop, true)
		}
		next := end
		if !suspected {
			next = suspect
		}
		timer.Reset(max(next-silence, time.Second))
	}
}
