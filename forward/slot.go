package forward

import (
	"context"
	"sync"
)

// A slot holds the current target, if there is one, and wakes those who wait
// for another. Its zero value has none.
type slot struct {
	mu      sync.Mutex
	target  Target
	changed chan struct{} // closed and forgotten when target changes; nil if nobody waits
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

// get returns the target, or nil, and a channel that is closed when it is no
// longer that one.
func (s *slot) get() (Target, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.target, s.changed
}

// wait is get, but returns only when there is a target or ctx has ended.
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
