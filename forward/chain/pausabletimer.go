package chain

import (
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A pausableTimer calls expire after it has run for a given time. It does not run while a person
// answers and while this process is stopped, since the host causes neither.
type pausableTimer struct {
	mu           sync.Mutex
	timer        *runclock.Timer
	left         time.Duration
	paused       int // number of active pauses
	over         bool
	since        time.Time // when the first active pause began
	userInvolved bool      // a pause was longer than minUserTime, so a person may have been asked

	onAsking func()      // called after a pause of userPromptThreshold
	askTimer *time.Timer // calls onAsking; nil before the first pause
}

// userPromptThreshold is longer than a known_hosts lookup or a signature takes. A longer pause
// means that a person is being asked.
const userPromptThreshold = 2 * time.Second

// minUserTime is too short for a person to answer, and long enough for a key that asks no person.
const minUserTime = 500 * time.Millisecond

func startPausableTimer(d time.Duration, expire, asking func()) *pausableTimer {
	return &pausableTimer{left: d, onAsking: asking, timer: runclock.AfterFunc(d, expire)}
}

// pause stops the timer until resume is called. Pauses may overlap.
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

// resume ends one pause. The last one restarts the timer.
func (c *pausableTimer) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused--; c.paused > 0 {
		return
	}
	c.askTimer.Stop()
	c.userInvolved = c.userInvolved || time.Since(c.since) > minUserTime
	if !c.over {
		c.timer.Reset(max(c.left, time.Millisecond))
	}
}

// ensureRemaining extends the remaining time to d if it is less.
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

// stop ends the timer. It does not wait for a call of expire in progress.
func (c *pausableTimer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.timer.Stop()
}
