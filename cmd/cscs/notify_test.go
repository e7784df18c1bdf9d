package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// Only that the time runs out is shown on the desktop, and only to a person. A desktop that
// fails or hangs ends no session and prints nothing.
func TestNotify(t *testing.T) {
	ends := time.Now().Add(10 * time.Minute)
	limit := session.Event{Event: session.EventWarning, Message: "10 min left", Ends: &ends}
	other := session.Event{Event: session.EventWarning, Message: "port in use"}
	granted := session.Event{Event: session.EventGranted, Ends: &ends}
	for _, tt := range []struct {
		name  string
		tty   bool
		env   string
		args  []string
		shown bool
	}{
		{"on a terminal", true, "", nil, true},
		{"not on a terminal", false, "", nil, false},
		{"json", true, "", []string{"--json"}, false},
		{"no-notify", true, "", []string{"--no-notify"}, false},
		{"CSCS_NO_NOTIFY", true, "1", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home(t, "")
			t.Setenv("CSCS_NO_NOTIFY", tt.env)
			var mu sync.Mutex
			var shown []string
			var out, errs bytes.Buffer
			d := &deps{
				io: &ui.IO{Out: &out, Err: &errs, ErrTTY: tt.tty, Width: func() int { return 80 }},
				run: func(_ context.Context, _ session.Config, emit func(session.Event)) error {
					for _, e := range []session.Event{granted, other, limit} {
						emit(e)
					}
					return nil
				},
				notify: func(ctx context.Context, title, text string) error {
					if _, bounded := ctx.Deadline(); !bounded {
						t.Error("a desktop that hangs would hold the session")
					}
					mu.Lock()
					defer mu.Unlock()
					shown = append(shown, title+": "+text)
					return errors.New("no desktop")
				},
			}
			args := append([]string{"run", "-c", "daint", "--no-browser"}, tt.args...)
			if code := runCommandLine(t.Context(), append(args, "--", "x"), d); code != 0 {
				t.Fatalf("exit code %d: %s", code, errs.String())
			}
			var want []string
			if tt.shown {
				want = []string{"cscs on daint: 10 min left"}
			}
			if !slices.Equal(shown, want) {
				t.Errorf("shown %q, want %q", shown, want)
			}
			if bytes.Contains(errs.Bytes(), []byte("no desktop")) {
				t.Errorf("told %s", errs.String())
			}
		})
	}
}
