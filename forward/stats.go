package forward

import (
	"sync/atomic"
	"time"
)

// counters are the current values of Stats. Every connection updates the byte counts once per
// chunk, so they are atomic instead of locked.
type counters struct {
	open, held, total, failed atomic.Int64
	received, sent            atomic.Int64
	lastActivity              atomic.Int64 // nanoseconds since 1970
}

func (c *counters) touch(now time.Time) { c.lastActivity.Store(now.UnixNano()) }

func (c *counters) takeSnapshot() Stats {
	return Stats{
		Open:         c.open.Load(),
		Held:         c.held.Load(),
		Total:        c.total.Load(),
		Failed:       c.failed.Load(),
		Received:     c.received.Load(),
		Sent:         c.sent.Load(),
		LastActivity: time.Unix(0, c.lastActivity.Load()),
	}
}
