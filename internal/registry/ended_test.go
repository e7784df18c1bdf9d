package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/session"
)

// TestLeftInTheQueue: a session that is left while it is queued stays a queued one, with its reason and
// its expected start; one whose request ended with its process does not.
func TestLeftInTheQueue(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	queued := func(kept bool) session.Event {
		return session.Event{Event: session.EventQueued, Job: "7", Reason: "other jobs come first", Start: &start, Kept: kept}
	}
	for _, c := range []struct {
		name          string
		events        []session.Event
		state, reason string
	}{
		{"detached in the queue", []session.Event{queued(true), {Event: session.EventDetached, Kept: true}}, Queued, "other jobs come first"},
		{"killed in the queue", []session.Event{queued(true)}, Queued, "other jobs come first"},
		{"killed with its salloc", []session.Event{queued(false)}, Unattended, ""},
		{"detached when it ran", []session.Event{queued(true), {Event: session.EventGranted, Job: "7", Node: "nid1"}, {Event: session.EventDetached}}, Detached, ""},
		{"killed when it ran", []session.Event{queued(true), {Event: session.EventGranted, Job: "7", Node: "nid1"}}, Unattended, ""},
	} {
		s := Open(t.TempDir())
		r := Record{ID: "abcdefgh", App: "jupyter", Cluster: "daint", Begun: start}
		for _, e := range c.events {
			r.Take(e)
		}
		take(t, s, r).Leave()
		all, err := s.List()
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: %+v, %v", c.name, all, err)
		}
		l := all[0]
		if l.State != c.state || l.Reason != c.reason || (l.Start != nil) != (c.state == Queued) {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

// TestTwoAreLost: of two connections that are lost, one that is back is not both.
func TestTwoAreLost(t *testing.T) {
	var r Record
	r.Take(session.Event{Event: session.EventReady})
	for _, c := range []struct {
		event, host, state string
	}{
		{session.EventLost, "ela", Lost}, {session.EventLost, "nid1", Lost},
		{session.EventRestored, "nid1", Lost}, {session.EventRestored, "ela", Ready},
	} {
		r.Take(session.Event{Event: c.event, Host: c.host})
		if r.State != c.state || c.state == Lost && !strings.Contains(r.Reason, "ela") {
			t.Errorf("%s of %s: %s, %q", c.event, c.host, r.State, r.Reason)
		}
	}
}

// TestEnded: the sessions that ended last are remembered, newest last, as many as fit, for a week.
func TestEnded(t *testing.T) {
	state := t.TempDir()
	s := Open(state)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	if got := s.Ended(now); len(got) != 0 {
		t.Errorf("before any: %+v", got)
	}
	four := 4
	note := func(id string, at time.Time) Ended {
		e := Ended{ID: id, App: "jupyter", Cluster: "daint", Job: "7", Reason: "job 7 reached its time limit", Code: &four, Ended: at}
		if err := s.NoteEnded(e); err != nil {
			t.Fatal(err)
		}
		e.V = RecordVersion
		return e
	}
	old := note("aaaaaaaa", now.Add(-8*24*time.Hour))
	first, second := note("bbbbbbbb", now.Add(-time.Hour)), note("cccccccc", now)
	if diff := cmp.Diff([]Ended{first, second}, s.Ended(now)); diff != "" {
		t.Error(diff)
	}
	again := note("bbbbbbbb", now.Add(time.Minute)) // of two processes that attended it
	if diff := cmp.Diff([]Ended{second, again}, s.Ended(now)); diff != "" {
		t.Error(diff)
	}
	name := filepath.Join(state, "ended.json")
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if data, err := os.ReadFile(name); err != nil || strings.Contains(string(data), old.ID) {
		t.Errorf("one that is older than a week is still there: %s, %v", data, err)
	}
	// What can't be read is not there, and doesn't stay.
	if err := os.WriteFile(name, []byte("{\"v\":1,\n\x00nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	note("dddddddd", now)
	for i := range 100 {
		e := Ended{ID: fmt.Sprintf("eeeeee%c%c", 'a'+i/10, 'a'+i%10), Reason: strings.Repeat("long ", 1000), Ended: now}
		if err := s.NoteEnded(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Ended(now); len(got) != endedMost || got[endedMost-1].ID != "eeeeeejj" {
		t.Errorf("%d, the last %+v", len(got), got[len(got)-1])
	}
	if info, err := os.Stat(name); err != nil || info.Size() > 32<<10 {
		t.Errorf("%v bytes, %v", info.Size(), err)
	}
	if err := s.NoteEnded(Ended{ID: "../../../x", Ended: now}); err == nil {
		t.Error("an ID that is none was noted")
	}
	if left, err := os.ReadDir(state); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestTakenAgain: a session that is taken again has not ended.
func TestTakenAgain(t *testing.T) {
	state := t.TempDir()
	s := Open(state)
	note := func(id string) {
		t.Helper()
		if err := s.NoteEnded(Ended{ID: id, Ended: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	note("aaaaaaaa")
	note("bbbbbbbb")
	take(t, s, Record{ID: "aaaaaaaa"}).Leave()
	if got := s.Ended(time.Now()); len(got) != 1 || got[0].ID != "bbbbbbbb" {
		t.Errorf("%+v", got)
	}
	take(t, s, Record{ID: "bbbbbbbb"}).Leave()
	if got := s.Ended(time.Now()); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(filepath.Join(state, "ended.json")); err == nil {
		t.Error("an empty file of notes stays")
	}
}
