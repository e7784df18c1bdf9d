// Package waittest waits in tests for what happens outside a testing/synctest bubble: for processes,
// sockets and goroutines that use them. Each limit only ends a test that hangs.
package waittest

import (
	"testing"
	"time"
)

// Receive returns the next value of a channel, or the zero value if the channel is closed. It fails
// the test if neither comes within limit. what names the event in the failure.
func Receive[T any](t testing.TB, limit time.Duration, what string, from <-chan T) T {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		t.Fatalf("not within %v: %s", limit, what)
	}
	var none T // for the compiler: Fatalf ends this goroutine
	return none
}

// Until calls isTrue every 10 ms until it returns true, for a state that no event announces. It
// fails the test if that takes longer than limit. what names the state in the failure.
func Until(t testing.TB, limit time.Duration, what string, isTrue func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !isTrue(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// SpendRealTime lets d pass on the real clock. Only a test whose subject is that time itself may use
// it: the length of a fault, or a time in which nothing may happen. The call needs a comment that
// says which, and it must use processes or sockets, which no bubble can hold.
func SpendRealTime(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the one place that sleeps for real
}
