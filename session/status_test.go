package session

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestStatusWarning: a warning about a lost connection goes when the connection is back; others stay, and so does one
// of the time that is left.
func TestStatusWarning(t *testing.T) {
	ends := time.Now()
	for name, c := range map[string]struct {
		want   string
		events []Event
	}{
		"about the connection": {"", []Event{
			{Event: EventLost, Host: "ela"}, {Event: EventWarning, Message: "cannot connect again"}, {Event: EventRestored, Host: "ela"}}},
		"another connection is still lost": {"cannot connect again", []Event{
			{Event: EventLost, Host: "ela"}, {Event: EventLost, Host: "nid1"}, {Event: EventWarning, Message: "cannot connect again"}, {Event: EventRestored, Host: "nid1"}}},
		"from before the loss": {"the port is in use", []Event{
			{Event: EventWarning, Message: "the port is in use"}, {Event: EventLost, Host: "ela"}, {Event: EventRestored, Host: "ela"}}},
		"about the time": {"save your work", []Event{
			{Event: EventLost, Host: "ela"}, {Event: EventWarning, Message: "save your work", Ends: &ends}, {Event: EventRestored, Host: "ela"}}},
		"about the time, while a connection is lost": {"", []Event{
			{Event: EventWarning, Message: "save your work", Ends: &ends}, {Event: EventLost, Host: "ela"}}},
	} {
		var s Status
		for _, e := range c.events {
			s.Apply(e)
		}
		got := ""
		if w := s.CurrentWarning(); w != nil {
			got = w.Message
		}
		if got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestStatusQueuedAgain: a job that Slurm queues again has no node, server or grant any more.
func TestStatusQueuedAgain(t *testing.T) {
	at := func(minutes int) time.Time { return time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute) }
	var s Status
	for i, e := range []Event{
		{Event: EventQueued, Job: "7", Kept: true, Local: "http://127.0.0.1:1/wait"},
		{Event: EventGranted, Job: "7", Node: "nid1", Nodes: []string{"nid1", "nid2"}},
		{Event: EventStarted, Node: "nid1"},
		{Event: EventReady, URL: "http://127.0.0.1:1/"},
		{Event: EventQueued, Job: "7", Local: "http://127.0.0.1:1/wait"},
	} {
		e.Time = at(i)
		s.Apply(e)
	}
	if s.Granted != nil || s.Started != nil || s.Ready != nil || s.IsServing() || s.Kept || s.URL != "http://127.0.0.1:1/wait" || !s.QueuedAt.Equal(at(0)) {
		t.Errorf("queued again: %+v", s)
	}
	s.Apply(Event{Event: EventGranted, Job: "7", Node: "nid3", Nodes: []string{"nid3"}, Time: at(9)})
	if !s.GrantedAt.Equal(at(9)) || s.Node != "nid3" || !s.Began.Equal(at(0)) {
		t.Errorf("granted again: %+v", s)
	}
}

// TestStatusAnyOrder: whatever order events come in, the status does not contradict itself, and a copy of it is not changed
// by later events.
func TestStatusAnyOrder(t *testing.T) {
	names := []string{EventConnecting, EventConnected, EventQueued, EventGranted, EventStarted, EventReady, EventForward, EventLost,
		EventRestored, EventWarning, EventDetached, EventEnding, EventError, EventEnded, "unknown"}
	hosts := []string{"ela", "daint", "nid1"}
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		var s Status
		lost := map[string]bool{}
		ended := false
		for range 30 {
			e := Event{Event: names[random.IntN(len(names))], Host: hosts[random.IntN(len(hosts))], Session: "abcdefgh"}
			if e.Event == EventDetached || e.Event == EventEnding || e.Event == EventError || e.Event == EventEnded {
				if random.IntN(4) > 0 {
					continue // most sessions live for longer
				}
				ended = true
			}
			before, wasLost := s, slices.Clone(s.Lost)
			s.Apply(e)
			lost[e.Host] = e.Event == EventLost || lost[e.Host] && e.Event != EventRestored
			for _, host := range hosts {
				if s.IsLost(host) != lost[host] {
					t.Fatalf("seed %d: after %s of %s, %s is lost: %v", seed, e.Event, e.Host, host, s.IsLost(host))
				}
			}
			if s.IsEnding() != ended || s.IsServing() && (ended || s.Ready == nil) || len(s.Lost) > len(hosts) || s.Session != "abcdefgh" {
				t.Fatalf("seed %d: after %s: %+v", seed, e.Event, s)
			}
			if slices.CompareFunc(before.Lost, wasLost, func(a, b Event) int { return len(a.Host) - len(b.Host) }) != 0 {
				t.Fatalf("seed %d: %s changed a copy", seed, e.Event)
			}
		}
	}
}
