package forward

import (
	"sync/atomic"
	"time"
)

// counters are the live form of Stats. A byte count is touched once for each
// chunk by every connection, so there is no lock.
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
