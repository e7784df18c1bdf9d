package runclock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A process that runs all the time: the timers are those of the standard library.
func TestTimerIsExact(t *testing.T) {
	for _, d := range []time.Duration{0, 10 * time.Millisecond, time.Second, 4500 * time.Millisecond, Grace, time.Minute, 12*time.Hour + time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			timer := NewTimer(d)
			if at := <-timer.C; at.Sub(began) != d {
				t.Errorf("a timer of %v expired after %v", d, at.Sub(began))
			}
			called := make(chan time.Duration)
			began = time.Now()
			AfterFunc(d, func() { called <- time.Since(began) })
			if took := <-called; took != d {
				t.Errorf("a function was called after %v, not %v", took, d)
			}
		})
	}
}

func TestTimerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer := NewTimer(20 * time.Second)
		time.Sleep(12500 * time.Millisecond) //nolint:forbidigo // of the bubble's time
		if !timer.Stop() || timer.Left() != 7500*time.Millisecond {
			t.Errorf("stopped with %v left", timer.Left())
		}
		if timer.Stop() {
			t.Error("it was stopped twice")
		}
		time.Sleep(time.Hour) //nolint:forbidigo // of the bubble's time
		select {
		case <-timer.C:
			t.Error("a stopped timer expired")
		default:
		}
		timer.Reset(time.Second)
		time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble's time
		if timer.Stop() {
			t.Error("an expired timer was running")
		}
		timer.Reset(time.Minute)
		time.Sleep(time.Minute - time.Nanosecond) //nolint:forbidigo // of the bubble's time
		select {
		case <-timer.C:
			t.Error("the expiry of before the reset was received")
		default:
		}
		<-timer.C
	})
}

// The process does not run for an hour in the middle of a wait.
func TestTimeNotRunDoesNotCount(t *testing.T) {
	for _, c := range []struct {
		name           string
		whole, left    time.Duration // when the part began that the stop is in
		late           bool          // the part before was late, too
		took, wantLeft time.Duration
	}{
		{"on time", time.Minute, 20 * time.Second, false, 15 * time.Second, 5 * time.Second},
		{"a busy machine", time.Minute, 20 * time.Second, false, 15900 * time.Millisecond, 5 * time.Second},
		{"stopped with enough left", 10 * time.Minute, 5 * time.Minute, false, time.Hour, 4*time.Minute + 30*time.Second},
		{"stopped at the end", time.Minute, time.Second, false, time.Hour, Grace},
		{"stopped at the end of a short wait", 2 * time.Second, 500 * time.Millisecond, false, time.Hour, 2 * time.Second},
		{"late all the time", time.Minute, time.Second, true, 3 * time.Second, 0},
	} {
		timer := &Timer{left: c.left, part: nextPart(c.left), grace: min(c.whole, Grace), late: c.late}
		timer.countPart(c.took)
		if timer.left != c.wantLeft {
			t.Errorf("%s: %v left, want %v", c.name, timer.left, c.wantLeft)
		}
	}
}

// A machine that sleeps stops the monotonic clock, except on Windows; a process that is
// stopped stops neither.
func TestElapsed(t *testing.T) {
	from := time.Now()
	for name, to := range map[string]time.Time{
		"both clocks": from.Add(time.Hour),
		"wall clock":  from.Round(0).Add(time.Hour), // without a monotonic reading
	} {
		if d := elapsedTime(from, to); d != time.Hour {
			t.Errorf("%s: %v", name, d)
		}
	}
}

func TestWithTimeoutCause(t *testing.T) {
	errLate := errors.New("late")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := WithTimeoutCause(t.Context(), time.Minute, errLate)
		defer cancel()
		began := time.Now()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errLate) || time.Since(began) != time.Minute {
			t.Errorf("ended by %v after %v", context.Cause(ctx), time.Since(began))
		}
		ctx, cancel = WithTimeoutCause(t.Context(), time.Minute, errLate)
		cancel()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("cancelled by %v", context.Cause(ctx))
		}
	})
}
