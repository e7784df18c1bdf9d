package chain

import (
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A clock calls expire when so much time has gone by while it was running. It
// is stopped while a person thinks, and while this process does not run: the host is not to
// blame for either.
type clock struct {
	mu       sync.Mutex
	timer    *runclock.Timer
	left     time.Duration
	paused   int // how many hold it
	over     bool
	since    time.Time // when it was stopped
	attended bool      // it was stopped for longer than attention: a person may have been asked

	asking func()      // called once it has stood still for pondering
	asked  *time.Timer // until then; nil: it runs
}

// pondering is what neither a list of known hosts nor a key takes to answer: after it,
// a person is taken to be asked.
const pondering = 2 * time.Second

// attention is the time in which a person cannot answer a question, and a key is used that asks no one.
const attention = 500 * time.Millisecond

func startClock(d time.Duration, expire, asking func()) *clock {
	return &clock{left: d, asking: asking, timer: runclock.AfterFunc(d, expire)}
}

// pause holds the clock until resume is called.
func (c *clock) pause() (resume func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused++; c.paused == 1 {
		if c.timer.Stop() {
			c.left = c.timer.Left()
		}
		c.since = time.Now()
		c.asked = time.AfterFunc(pondering, c.asking)
	}
	return sync.OnceFunc(c.resume)
}

func (c *clock) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused--; c.paused > 0 {
		return
	}
	c.asked.Stop()
	c.attended = c.attended || time.Since(c.since) > attention
	if c.over {
		return
	}
	c.timer.Reset(max(c.left, time.Millisecond))
}

// allow has the clock run for d from now on, if less is left.
func (c *clock) allow(d time.Duration) {
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
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.timer.Stop()
}
