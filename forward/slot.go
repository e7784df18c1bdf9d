package forward

import (
	"context"
	"sync"
)

// A slot holds the current target, if any, and wakes the goroutines that wait for a change. The
// zero value has no target.
type slot struct {
	mu      sync.Mutex
	target  Target
	changed chan struct{} // closed and set to nil when target changes; nil if no goroutine waits
}

func (s *slot) set(t Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = t
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// get returns the target or nil, and a channel that is closed when the target changes.
func (s *slot) get() (Target, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.target, s.changed
}

// wait is like get, but blocks until there is a target or ctx ends.
func (s *slot) wait(ctx context.Context) (Target, <-chan struct{}, error) {
	for {
		t, changed := s.get()
		if t != nil {
			return t, changed, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}
