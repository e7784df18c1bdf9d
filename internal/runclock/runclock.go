// Package runclock measures the time in which this process runs.
//
// A timer of the standard library also counts while the process is stopped (SIGSTOP, Ctrl-Z) and, on
// Windows, while the machine sleeps. Code with such a timer gives up a healthy peer as soon as the
// process continues: the answer is in the socket's buffer, but the timer expires first.
//
// A timer of this package measures its time in short parts. If a part ends much later than planned, the
// process did not run. That delay does not count, and at least [Grace] is left after it, so that the peer can answer.
package runclock

import (
	"context"
	"sync"
	"time"
)

const (
	// Grace is the minimum that is left of a wait when the process continues. A shorter wait starts again in full.
	Grace = 5 * time.Second

	longPart  = 30 * time.Second // the longest part: each one wakes the process
	shortPart = time.Second      // the longest part within the last Grace of a wait

	// lateness is the delay of a part after which the process counts as stopped. A busy
	// machine delays timers by less.
	lateness = time.Second
)

// A Timer expires when the process has run for a given time. Its methods may be called concurrently.
type Timer struct {
	C <-chan time.Time // receives the time of the expiry; nil for a Timer of AfterFunc

	expired chan time.Time
	call    func()

	mu      sync.Mutex
	timer   *time.Timer
	turn    int           // counts the parts; a part of an earlier turn does nothing
	began   time.Time     // when the part began
	part    time.Duration // how long the part should last
	left    time.Duration // of the wait, when the part began
	grace   time.Duration
	late    bool // the last part was late
	running bool
}

// NewTimer returns a timer that sends on C when the process has run for d.
func NewTimer(d time.Duration) *Timer {
	c := make(chan time.Time, 1)
	t := &Timer{C: c, expired: c}
	t.Reset(d)
	return t
}

// AfterFunc calls f in its own goroutine when the process has run for d.
func AfterFunc(d time.Duration, f func()) *Timer {
	t := &Timer{call: f}
	t.Reset(d)
	return t
}

// Reset restarts the timer. Afterwards C has no value of an earlier expiry.
func (t *Timer) Reset(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancelPart()
	t.left, t.grace, t.late, t.running = d, min(d, Grace), false, true
	t.startPart()
}

// Stop stops the timer and reports whether it was running. Afterwards C has no value.
func (t *Timer) Stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	wasRunning := t.running
	if wasRunning {
		t.left -= min(elapsedTime(t.began, time.Now()), t.part)
	}
	t.cancelPart()
	return wasRunning
}

// Left returns what was left of the wait when the timer was stopped.
func (t *Timer) Left() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.left
}

// cancelPart ends the part and removes an expiry from C. t.mu is held.
func (t *Timer) cancelPart() {
	t.turn++
	t.running = false
	if t.timer != nil {
		t.timer.Stop()
	}
	select {
	case <-t.expired:
	default:
	}
}

// startPart starts the next part. t.mu is held.
func (t *Timer) startPart() {
	t.turn++
	turn := t.turn
	t.part, t.began = nextPart(t.left), time.Now()
	t.timer = time.AfterFunc(t.part, func() { t.endPart(turn) })
}

// nextPart returns the length of the next part of a wait.
func nextPart(left time.Duration) time.Duration {
	if left > Grace {
		return min(left-Grace, longPart)
	}
	return min(max(left, 0), shortPart)
}

// endPart counts a part, then starts the next one or expires.
func (t *Timer) endPart(turn int) {
	t.mu.Lock()
	if turn != t.turn {
		t.mu.Unlock()
		return
	}
	now := time.Now()
	t.countPart(elapsedTime(t.began, now))
	if t.left > 0 {
		t.startPart()
		t.mu.Unlock()
		return
	}
	t.running = false
	if t.expired != nil {
		t.expired <- now // it does not block: cancelPart has emptied the channel
	}
	t.mu.Unlock()
	if t.call != nil {
		t.call()
	}
}

// countPart subtracts a part, which took the given time, from the wait. t.mu is held.
func (t *Timer) countPart(took time.Duration) {
	t.left -= t.part
	late := took > t.part+lateness
	// Not twice in a row: a wait must also end on a machine that delays every part.
	if late && !t.late {
		t.left = max(t.left, t.grace)
	}
	t.late = late
}

// elapsedTime returns the time between two readings, by the clock that shows more. The monotonic clock
// stops while the machine sleeps, except on Windows.
func elapsedTime(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// WithTimeoutCause returns a context that ends with cause when the process has run for d. The caller
// must call cancel, as in the standard library.
func WithTimeoutCause(parent context.Context, d time.Duration, cause error) (ctx context.Context, cancel context.CancelFunc) {
	ctx, end := context.WithCancelCause(parent)
	t := AfterFunc(d, func() { end(cause) })
	return ctx, func() {
		t.Stop()
		end(nil)
	}
}
