package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The user is told 10 and 2 minutes before the time limit, and of no time that has
// passed already.
func TestWarningsOfLimit(t *testing.T) {
	for _, c := range []struct {
		limit time.Duration
		at    []time.Duration // before the end
	}{
		{time.Hour, []time.Duration{10 * time.Minute, 2 * time.Minute}},
		{10 * time.Minute, []time.Duration{2 * time.Minute}},
		{2 * time.Minute, nil},
		{time.Minute, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			ends := time.Now().Add(c.limit)
			var told []time.Duration
			s := &session{out: emitter{emit: func(e Event) {
				if e.Event != EventWarning || e.Ends == nil || !e.Ends.Equal(ends) || !strings.Contains(e.Message, " min,") {
					t.Errorf("told %+v", e)
				}
				told = append(told, time.Until(ends))
			}}}
			s.job.Ends = ends
			timer, over := time.NewTimer(time.Hour), time.After(c.limit)
			timer.Stop()
			for s.awaitLimit(timer); ; {
				select {
				case <-timer.C:
					s.warnOfLimit()
					s.awaitLimit(timer)
					continue
				case <-over:
				}
				break
			}
			if len(told) != len(c.at) {
				t.Fatalf("limit %v: told %v before the end", c.limit, told)
			}
			for i := range told {
				if told[i] != c.at[i] {
					t.Errorf("limit %v: told %v before the end", c.limit, told)
				}
			}
		})
	}
}
