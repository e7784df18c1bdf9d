package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// TestNodeIsLost: while the node does not answer, nothing says how long its job still runs, or asks
// for work to be saved there.
func TestNodeIsLost(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ends := now.Add(3 * time.Minute)
	var s status
	seen := func() string {
		var b strings.Builder
		for _, r := range s.buildRows(renderInput{w: 100, now: now}) {
			b.WriteString(r.fitWidth(100, "...") + "\n")
		}
		return b.String()
	}
	for _, e := range []session.Event{
		{Event: session.EventGranted, Job: "7", Node: "nid1", Nodes: []string{"nid1"}, Ends: &ends, Begins: &now},
		{Event: session.EventReady, URL: "http://127.0.0.1:1/", On: "nid1"},
		{Event: session.EventWarning, Message: "save your work", Ends: &ends},
	} {
		s.Apply(e)
	}
	before := seen()
	s.Apply(session.Event{Event: session.EventLost, Host: "nid1", Message: "it does not answer"})
	lost := seen()
	s.Apply(session.Event{Event: session.EventRestored, Host: "nid1"})
	after := seen()
	for _, screen := range []string{before, after} {
		if !strings.Contains(screen, "3 min 00 s left") || !strings.Contains(screen, "save your work") {
			t.Errorf("the time left is not told: %s", screen)
		}
	}
	if strings.Contains(lost, "left") || strings.Contains(lost, "save your work") || !strings.Contains(lost, "nid1 does not answer") {
		t.Errorf("a node that does not answer: %s", lost)
	}
	s.Apply(session.Event{Event: session.EventLost, Host: "ela", Message: "it does not answer"})
	if screen := seen(); !strings.Contains(screen, "left") || strings.Contains(screen, "save your work") {
		t.Errorf("without a connection: %s", screen)
	}
}

// TestStatusTakesALateLink: a link that comes with a warning is where the key o leads from then on.
func TestStatusTakesALateLink(t *testing.T) {
	var s status
	s.Apply(session.Event{Event: session.EventReady, URL: "http://127.0.0.1:1/", Link: "http://127.0.0.1:1/"})
	s.Apply(session.Event{Event: session.EventWarning, Message: "others can reach it"})
	if s.Link != "http://127.0.0.1:1/" {
		t.Errorf("a warning without a link: %q", s.Link)
	}
	s.Apply(session.Event{Event: session.EventWarning, Local: "http://127.0.0.1:1/lab", Link: "http://127.0.0.1:1/lab?token=x"})
	if s.URL != "http://127.0.0.1:1/lab" || s.Link != "http://127.0.0.1:1/lab?token=x" {
		t.Errorf("%q, %q", s.URL, s.Link)
	}
}

// TestTunnelIntoAJob: a tunnel shows the job that its server runs in, and the time that is left of it.
func TestTunnelIntoAJob(t *testing.T) {
	time.Local = time.UTC
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	begins, ends := now.Add(-time.Hour), now.Add(20*time.Minute)
	ready := session.Event{Event: session.EventReady, URL: "http://127.0.0.1:1/", LocalPort: 1, Remote: "127.0.0.1:2", On: "nid1", InJob: "42", Begins: &begins, Until: &ends, Time: now}
	var s status
	s.Apply(ready)
	var b strings.Builder
	for _, r := range s.buildRows(renderInput{w: 100, now: now}) {
		b.WriteString(r.fitWidth(100, "...") + "\n")
	}
	io, _, errs := testIO(false, false)
	text := NewText(io, false)
	text.now = func() time.Time { return now }
	text.Event(ready)
	for _, w := range []string{"job 42", "20 min left", "12:20"} {
		if !strings.Contains(b.String(), w) || !strings.Contains(errs.String(), w) {
			t.Errorf("%q is missing in %s or %s", w, b.String(), errs)
		}
	}
}
