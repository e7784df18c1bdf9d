package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// A warning of a connection goes when that is back; others stay, and so does that of the time left.
func TestWarningIsMended(t *testing.T) {
	ends := time.Now()
	for _, c := range []struct {
		name, want string
		events     []session.Event
	}{
		{"the key has expired", "", []session.Event{
			{Event: session.EventLost, Host: "ela"}, {Event: session.EventWarning, Message: "cannot connect again"}, {Event: session.EventRestored, Host: "ela"}}},
		{"another connection is still lost", "cannot connect again", []session.Event{
			{Event: session.EventLost, Host: "ela"}, {Event: session.EventLost, Host: "nid1"}, {Event: session.EventWarning, Message: "cannot connect again"}, {Event: session.EventRestored, Host: "nid1"}}},
		{"of before", "the port is in use", []session.Event{
			{Event: session.EventWarning, Message: "the port is in use"}, {Event: session.EventLost, Host: "ela"}, {Event: session.EventRestored, Host: "ela"}}},
		{"of the time", "save your work", []session.Event{
			{Event: session.EventLost, Host: "ela"}, {Event: session.EventWarning, Message: "save your work", Ends: &ends}, {Event: session.EventRestored, Host: "ela"}}},
	} {
		var s status
		for _, e := range c.events {
			s.applyEvent(e)
		}
		if s.warning != c.want {
			t.Errorf("%s: %q", c.name, s.warning)
		}
	}
}

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
		s.applyEvent(e)
	}
	before := seen()
	s.applyEvent(session.Event{Event: session.EventLost, Host: "nid1", Message: "it does not answer"})
	lost := seen()
	s.applyEvent(session.Event{Event: session.EventRestored, Host: "nid1"})
	after := seen()
	for _, screen := range []string{before, after} {
		if !strings.Contains(screen, "3 min 00 s left") || !strings.Contains(screen, "save your work") {
			t.Errorf("the time left is not told: %s", screen)
		}
	}
	if strings.Contains(lost, "left") || strings.Contains(lost, "save your work") || !strings.Contains(lost, "nid1 does not answer") {
		t.Errorf("a node that does not answer: %s", lost)
	}
	s.applyEvent(session.Event{Event: session.EventLost, Host: "ela", Message: "it does not answer"})
	if screen := seen(); !strings.Contains(screen, "left") || strings.Contains(screen, "save your work") {
		t.Errorf("without a connection: %s", screen)
	}
}

// TestStatusTakesALateLink: a link that comes with a warning is where the key o leads from then on.
func TestStatusTakesALateLink(t *testing.T) {
	var s status
	s.applyEvent(session.Event{Event: session.EventReady, URL: "http://127.0.0.1:1/", Link: "http://127.0.0.1:1/"})
	s.applyEvent(session.Event{Event: session.EventWarning, Message: "others can reach it"})
	if s.link != "http://127.0.0.1:1/" {
		t.Errorf("a warning without a link: %q", s.link)
	}
	s.applyEvent(session.Event{Event: session.EventWarning, Local: "http://127.0.0.1:1/lab", Link: "http://127.0.0.1:1/lab?token=x"})
	if s.url != "http://127.0.0.1:1/lab" || s.link != "http://127.0.0.1:1/lab?token=x" {
		t.Errorf("%q, %q", s.url, s.link)
	}
}

// TestTunnelIntoAJob: a tunnel shows the job that its server runs in, and the time that is left of it.
func TestTunnelIntoAJob(t *testing.T) {
	time.Local = time.UTC
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	begins, ends := now.Add(-time.Hour), now.Add(20*time.Minute)
	ready := session.Event{Event: session.EventReady, URL: "http://127.0.0.1:1/", LocalPort: 1, Remote: "127.0.0.1:2", On: "nid1", InJob: "42", Begins: &begins, Until: &ends, Time: now}
	var s status
	s.applyEvent(ready)
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
