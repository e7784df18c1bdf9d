package chain

import (
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A pausableTimer calls expire when so much time has gone by while it was running. It
// is stopped while a person thinks, and while this process does not run: the host is not to
// blame for either.
type pausableTimer struct {
	mu           sync.Mutex
	timer        *runclock.Timer
	left         time.Duration
	paused       int // how many hold it
	over         bool
	since        time.Time // when it was stopped
	userInvolved bool      // it was stopped for longer than attention: a person may have been asked

	onAsking func()      // called once it has stood still for pondering
	askTimer *time.Timer // until then; nil: it runs
}

// userPromptThreshold is what neither a list of known hosts nor a key takes to answer: after it,
// a person is taken to be asked.
const userPromptThreshold = 2 * time.Second

// minUserTime is the time in which a person cannot answer a question, and a key is used that asks no one.
const minUserTime = 500 * time.Millisecond

func startPausableTimer(d time.Duration, expire, asking func()) *pausableTimer {
	return &pausableTimer{left: d, onAsking: asking, timer: runclock.AfterFunc(d, expire)}
}

// pause holds the clock until resume is called.
func (c *pausableTimer) pause() (resume func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused++; c.paused == 1 {
		if c.timer.Stop() {
			c.left = c.timer.Left()
		}
		c.since = time.Now()
		c.askTimer = time.AfterFunc(userPromptThreshold, c.onAsking)
	}
	return sync.OnceFunc(c.resume)
}

func (c *pausableTimer) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused--; c.paused > 0 {
		return
	}
	c.askTimer.Stop()
	c.userInvolved = c.userInvolved || time.Since(c.since) > minUserTime
	if c.over {
		return
	}
	c.timer.Reset(max(c.left, time.Millisecond))
}

// ensureRemaining has the clock run for d from now on, if less is left.
func (c *pausableTimer) ensureRemaining(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	if c.paused == 0 && c.timer.Stop() {
		c.left = c.timer.Left()
		defer func() { c.timer.Reset(c.left) }()
	}
	c.left = max(c.left, d)
}

// stop ends the clock; expire is not called any more, unless it already is.
func (c *pausableTimer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.timer.Stop()
}
