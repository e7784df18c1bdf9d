package session

import (
	"fmt"
	"time"
)

// warnings are how long before the time limit ends the job the user is told.
var warnings = []time.Duration{10 * time.Minute, 2 * time.Minute}

// awaitLimit sets the timer to the next warning that is still to come.
func (s *session) awaitLimit(timer *time.Timer) {
	if s.job.Ends.IsZero() {
		return
	}
	for _, before := range warnings {
		if left := time.Until(s.job.Ends.Add(-before)); left > 0 {
			timer.Reset(left)
			return
		}
	}
}

// warnOfLimit tells that the job will soon reach its time limit.
func (s *session) warnOfLimit() {
	ends := s.job.Ends.UTC()
	left := max(time.Until(ends), 0).Round(time.Minute)
	s.out.event(Event{Event: EventWarning, Ends: &ends,
		Message: fmt.Sprintf("job %s reaches its time limit in %d min, and the server ends with it: save your work", s.job.ID, int(left.Minutes()))})
}
