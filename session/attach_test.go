package session

import (
	"context"
	"testing"

	"github.com/alps-tunnel/cscs/slurm"
)

// TestAttachByPrefix: no event takes the beginning of an ID for one.
func TestAttachByPrefix(t *testing.T) {
	a := newAlps(t)
	cfg := a.config()
	a.orphan(cfg)
	id := cfg.ID
	cfg.ID = id[:3]
	ctx, leave := context.WithCancelCause(t.Context())
	var ids []string
	err := Attach(ctx, cfg, func(About, slurm.Found) {}, func(e Event) {
		if e.Session != id && e.Session != "" || e.Session == "" && e.Event != EventConnecting && e.Event != EventConnected {
			t.Errorf("%s of session %q", e.Event, e.Session)
		}
		ids = append(ids, e.Session)
		if e.Event == EventReady {
			leave(ErrInterrupted)
		}
	})
	if err != nil || len(ids) < 4 || ids[0] != "" || ids[len(ids)-1] != id {
		t.Errorf("ended with %v, sessions %q", err, ids)
	}
	cfg.ID = id
	if err := Stop(t.Context(), cfg, true, func(Event) {}); err != nil {
		t.Error(err)
	}
	a.nothingLeft()
}
