package chain

import (
	"time"
)

// wakeful is by how much the wall clock may run ahead of the program's own
// before the machine is taken to have slept.
const wakeful = 10 * time.Second

// keepalive asks l's server for a sign of life whenever the link has been
// silent for a while, with the request that OpenSSH's ServerAliveInterval uses,
// and ends the chain when no answer comes. Anything that arrives counts as one: on a
// slow link the answer may have to wait behind the data.
//
// There is never a second request: on a dead link the first blocks for good, and holds a
// lock (golang/go#19338). Ending the chain is what frees it.
func (c *Chain) keepalive(l *link) {
	pause := time.NewTimer(c.opts.Keepalive)
	defer pause.Stop()
	for {
		asleep := c.opts.wall()
		wait := time.Now()
		select {
		case <-pause.C:
		case <-c.done:
			return
		}
		tolerance := c.opts.Tolerance
		if c.opts.wall().Sub(asleep)-time.Since(wait) > wakeful {
			// Behind a NAT the link rarely survives a laptop's sleep; do not
			// make its user wait to find out.
			tolerance = min(tolerance, wakeful)
		} else if silence := l.conn.silence(); silence < c.opts.Keepalive {
			pause.Reset(c.opts.Keepalive - silence)
			continue
		}
		if !c.ping(l, tolerance) {
			return
		}
		pause.Reset(c.opts.Keepalive)
	}
}

// ping reports whether the server gave a sign of life; if not, the chain is
// ended.
func (c *Chain) ping(l *link, tolerance time.Duration) bool {
	answer := make(chan error, 1)
	ok := c.spawn(func() {
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	})
	if !ok {
		return false
	}
	timer := time.NewTimer(tolerance)
	defer timer.Stop()
	for {
		select {
		case err := <-answer:
			return err == nil // an error ends the link, and watch sees to that
		case <-c.done:
			return false
		case <-timer.C:
			silence := l.conn.silence()
			if silence < tolerance {
				timer.Reset(tolerance - silence)
				continue
			}
			c.finish(&LostError{Hop: l.hop, Silence: silence, Err: errSilent})
			return false
		}
	}
}
