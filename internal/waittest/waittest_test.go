package waittest

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A failedTest records how a test fails, and ends its goroutine as t.Fatalf does.
type failedTest struct {
	testing.TB
	message string
}

func (f *failedTest) Helper() {}

func (f *failedTest) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestLimit: what comes within the limit passes, and what does not come fails the test at the limit.
func TestLimit(t *testing.T) {
	const limit = time.Minute
	for name, tt := range map[string]struct {
		after time.Duration // when the channel is closed
		wait  func(t testing.TB, c <-chan struct{})
	}{
		"received in time": {limit - time.Second, func(t testing.TB, c <-chan struct{}) { Receive(t, limit, "it", c) }},
		"received late":    {limit + time.Second, func(t testing.TB, c <-chan struct{}) { Receive(t, limit, "it", c) }},
		"true in time":     {limit - time.Second, func(t testing.TB, c <-chan struct{}) { Until(t, limit, "it", func() bool { return isClosed(c) }) }},
		"true late":        {limit + time.Second, func(t testing.TB, c <-chan struct{}) { Until(t, limit, "it", func() bool { return isClosed(c) }) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c, ended := &failedTest{}, make(chan struct{}), make(chan struct{})
				time.AfterFunc(tt.after, func() { close(c) })
				began := time.Now()
				go func() {
					defer close(ended)
					tt.wait(f, c)
				}()
				<-ended
				want := ""
				if tt.after > limit {
					want = "not within 1m0s: it"
				}
				if took := time.Since(began); f.message != want || took.Round(time.Second) != min(tt.after, limit) {
					t.Errorf("after %v: %q, want %q", took, f.message, want)
				}
				<-c
			})
		})
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
