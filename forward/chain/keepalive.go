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
	sleep := c.newSleepWatch()
	for {
		select {
		case <-ticker.C:
		case <-c.done:
			return
		}
		slept := sleep.slept()
		if !slept && l.conn.silence() < c.opts.Keepalive {
			continue
		}
		if !c.ping(l, sleep, slept) {
			return
		}
	}
}

// A sleepWatch notices that the machine has slept: its wall clock went on meanwhile,
// the program's own did not.
type sleepWatch struct {
	clock        func() time.Time
	wall, looked time.Time
}

func (c *Chain) newSleepWatch() *sleepWatch {
	return &sleepWatch{clock: c.opts.wall, wall: c.opts.wall(), looked: time.Now()}
}

// slept reports whether the machine has slept since the last call.
func (s *sleepWatch) slept() bool {
	wall, now := s.clock(), time.Now()
	ahead := wall.Sub(s.wall) - now.Sub(s.looked)
	s.wall, s.looked = wall, now
	return ahead > wakeful
}

// ping asks for a sign of life and reports whether one came. A link that is silent for
// too long is suspected, and then ended with the chain; one that has slept, now or while
// it is waited for, has less time, but is not to blame for that before it woke up.
func (c *Chain) ping(l *link, sleep *sleepWatch, slept bool) bool {
	answer, asked := make(chan error, 1), time.Now()
	ok := c.spawn(func() {
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	})
	if !ok {
		return false
	}
	suspected := false
	suspect, end := c.opts.Keepalive+suspicion, c.opts.Keepalive+c.opts.Tolerance
	var awake time.Time // since when; zero: it has not slept
	ticker := time.NewTicker(min(time.Second, c.opts.Keepalive))
	defer ticker.Stop()
	for {
		silence := l.conn.silence()
		if slept {
			awake = time.Now()
			suspect, end = time.Second, min(c.opts.Tolerance, afterSleep)
		}
		if !awake.IsZero() {
			silence = min(silence, time.Since(awake))
		}
		switch {
		case silence >= end:
			c.finish(&LostError{Hop: l.hop, Silence: silence, Err: errSilent})
			return false
		case silence >= min(suspect, end) && !suspected:
			suspected = true
			c.opts.Silence(l.hop, true)
		}
		select {
		case err := <-answer:
			if suspected && err == nil {
				c.opts.Silence(l.hop, false)
			}
			if err == nil && awake.IsZero() && !suspected {
				c.opts.RoundTrip(l.hop, time.Since(asked))
			}
			return err == nil // an error ends the link, and watch sees to that
		case <-c.done:
			return false
		case <-ticker.C:
			slept = sleep.slept()
		}
	}
}
