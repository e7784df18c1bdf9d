package main

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// attendedEnd runs a session whose process is asked by the command to end, and ends with the events
// given. It returns the command's exit code, and the sessions that it ended by itself.
func attendedEnd(t *testing.T, command string, events ...session.Event) (code int, ended []string) {
	t.Helper()
	home(t, "")
	silent := func() *ui.IO { return &ui.IO{Out: new(bytes.Buffer), Err: new(bytes.Buffer)} }
	done := make(chan struct{})
	attending := &deps{io: silent(), run: func(ctx context.Context, cfg session.Config, emit func(session.Event)) error {
		go func() {
			defer close(done)
			other := &deps{io: silent(), end: func(_ context.Context, cfg session.Config, _ bool, _ func(session.Event)) error {
				ended = append(ended, cfg.ID)
				return nil
			}}
			code = runCommandLine(t.Context(), []string{command, cfg.ID}, other)
		}()
		<-ctx.Done() // the command has asked
		for _, e := range events {
			emit(e)
		}
		return nil
	}}
	runCommandLine(t.Context(), []string{"run", "-c", "daint", "--no-browser", "--", "x"}, attending)
	<-done
	return code, ended
}

// TestAskedToEndOtherwise: a process that is leaving its session when it is asked to stop it, or that
// is stopping it when it is asked to leave it, does not do what the command is for.
func TestAskedToEndOtherwise(t *testing.T) {
	ok, failed, ctrlC := 0, 1, 130
	interrupted := []session.Event{{Event: session.EventEnding, Reason: "interrupted"}, {Event: session.EventEnded, Reason: "interrupted: job 7 is gone", Code: &ctrlC}}
	failing := []session.Event{{Event: session.EventEnded, Reason: "the server has ended", Code: &failed}}
	stopped := []session.Event{{Event: session.EventEnding, Reason: "stopped"}, {Event: session.EventEnded, Reason: "stopped", Code: &ok}}
	left := []session.Event{{Event: session.EventDetached}, {Event: session.EventEnded, Reason: "detached", Code: &ok}}
	// A job that is left in the queue stays queued: its record's state does not change.
	queued := []session.Event{{Event: session.EventQueued, Job: "7", Kept: true}, {Event: session.EventDetached, Kept: true}, {Event: session.EventEnded, Reason: "detached", Code: &ok}}
	leftAfterError := []session.Event{{Event: session.EventDetached}, {Event: session.EventEnded, Reason: "detached", Code: &failed}}
	for _, tt := range []struct {
		name, command string
		events        []session.Event
		code, ended   int
	}{
		{"stop while it is stopped", "stop", stopped, 0, 0},
		{"stop while it is interrupted", "stop", interrupted, 0, 0},
		{"stop while it fails", "stop", failing, 1, 0},
		{"stop while it is left", "stop", left, 0, 1},
		{"stop while it is left after an error", "stop", leftAfterError, 0, 1},
		{"stop while it is left in the queue", "stop", queued, 0, 1},
		{"detach while it is left", "detach", left, 0, 0},
		{"detach of a queued one", "detach", queued, 0, 0},
		{"detach while it is stopped", "detach", stopped, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, ended := attendedEnd(t, tt.command, tt.events...)
			if code != tt.code || len(ended) != tt.ended {
				t.Errorf("exit code %d, want %d; ended by itself: %v, want %d", code, tt.code, ended, tt.ended)
			}
		})
	}
}

// TestStopSendsNumber: the number of the job, which this machine has recorded, goes to the cluster: it may be
// all that proves there which job is the session's.
func TestStopSendsNumber(t *testing.T) {
	home(t, "")
	dir, err := paths.StateDir()
	if err != nil {
		t.Fatal(err)
	}
	e, err := registry.Open(dir).Take(registry.Record{ID: "aaaaaaaa", Job: "4711", Cluster: "daint", State: registry.Detached})
	if err != nil {
		t.Fatal(err)
	}
	e.Leave()
	job := ""
	d := &deps{io: &ui.IO{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}, end: func(_ context.Context, cfg session.Config, _ bool, _ func(session.Event)) error {
		job = cfg.Job
		return nil
	}}
	if code := runCommandLine(t.Context(), []string{"stop", "aaaaaaaa"}, d); code != 0 || job != "4711" {
		t.Errorf("exit code %d; the job is %q, want 4711", code, job)
	}
}

// TestStopAllOfNone: that there was nothing to stop is said.
func TestStopAllOfNone(t *testing.T) {
	home(t, "")
	var said bytes.Buffer
	d := &deps{io: &ui.IO{Out: new(bytes.Buffer), Err: &said}}
	if code := runCommandLine(t.Context(), []string{"stop", "--all"}, d); code != 0 || said.Len() == 0 {
		t.Errorf("exit code %d, said %q", code, &said)
	}
}

// recordStops leaves detached sessions, by their IDs with the cluster of each, and returns deps that add to stopped the ID
// of each session that is ended.
func recordStops(t *testing.T, stopped *[]string, sessions map[string]string) *deps {
	t.Helper()
	dir, err := paths.StateDir()
	if err != nil {
		t.Fatal(err)
	}
	for id, cluster := range sessions {
		e, err := registry.Open(dir).Take(registry.Record{ID: id, Cluster: cluster, State: registry.Detached})
		if err != nil {
			t.Fatal(err)
		}
		e.Leave()
	}
	return &deps{io: &ui.IO{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}, end: func(_ context.Context, cfg session.Config, _ bool, _ func(session.Event)) error {
		*stopped = append(*stopped, cfg.ID)
		return nil
	}}
}

// TestStopKnown: one that is not known keeps none of the others from being ended, and is an error in the end.
func TestStopKnown(t *testing.T) {
	home(t, "")
	var stopped []string
	d := recordStops(t, &stopped, map[string]string{"aaaaaaaa": "daint", "bbbbbbbb": "daint"})
	if code := runCommandLine(t.Context(), []string{"stop", "cccc", "aaaa"}, d); code != 2 || !slices.Equal(stopped, []string{"aaaaaaaa"}) {
		t.Errorf("exit code %d; stopped %v", code, stopped)
	}
	// A variable of a script that is not set.
	if code := runCommandLine(t.Context(), []string{"stop", "bbbb", ""}, d); code != 2 || len(stopped) != 1 {
		t.Errorf("exit code %d; stopped %v", code, stopped)
	}
}
