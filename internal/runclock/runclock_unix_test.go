//go:build unix

package runclock

import (
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/stoptest"
)

// TestStoppedProcess stops a real process for longer than its timer takes: the timer
// must not have expired when the process continues.
func TestStoppedProcess(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		const wait = 2 * time.Second
		timer := NewTimer(wait)
		stop(2 * wait)
		began := time.Now()
		<-timer.C
		if took := time.Since(began); took < wait/2 {
			t.Errorf("the timer expired %v after the process continued", took)
		}
	})
}
