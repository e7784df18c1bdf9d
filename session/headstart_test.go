package session

import (
	"strings"
	"sync/atomic"
	"testing"
)

// TestHeadStart: the node is dialled once, before the runner has shown life, and that connection is used.
func TestHeadStart(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_SRUN_WAITS=1") // the runner's step comes 5 s after the grant
	var session atomic.Pointer[life]
	var dials, late atomic.Int32
	a.closed = func() error {
		dials.Add(1)
		if l := session.Load(); l == nil || strings.Count(l.names(), EventConnecting) > 2 { // ela and daint
			late.Add(1)
		}
		return nil
	}
	l := a.start(a.config())
	session.Store(l)
	l.await(EventReady)
	if dials.Load() != 1 || late.Load() != 0 {
		t.Errorf("%d dials, %d after the runner's first sign of life", dials.Load(), late.Load())
	}
	l.endReady()
	a.nothingLeft()
}
