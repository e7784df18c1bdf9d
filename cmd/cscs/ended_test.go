package main

import (
	"context"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// TestEndedHasProblem: the note of a session that an error has ended names the problem.
func TestEndedHasProblem(t *testing.T) {
	home(t, "")
	d := silentDeps()
	d.run = func(_ context.Context, _ session.Config, emit func(session.Event)) error {
		emit(session.Event{Event: session.EventGranted, Job: "7"})
		return &slurm.SilentError{Message: "no answer", Where: "daint"}
	}
	if code := runCommandLine(t.Context(), []string{"run", "-c", "daint", "--", "x"}, d); code != 4 {
		t.Fatalf("exit code %d", code)
	}
	state, err := paths.StateDir()
	if err != nil {
		t.Fatal(err)
	}
	all := registry.Open(state).Ended(time.Now())
	if len(all) != 1 || all[0].Problem != "slurm-silent" {
		t.Errorf("%+v", all)
	}
}
