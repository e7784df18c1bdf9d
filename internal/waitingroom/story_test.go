package waitingroom

import (
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// TestStoryOfALostNode: of a job whose node does not answer, nothing says that it goes on, and no
// warning asks for work to be saved.
func TestStoryOfALostNode(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ends := now.Add(2 * time.Minute)
	for _, c := range []struct {
		host       string
		want, lack string
	}{
		{"nid1", "not known whether job 7 still runs", "goes on"},
		{"ela", "Job 7 goes on", "not known"},
	} {
		s := pageState{cfg: Config{Cluster: "daint"}, wasThere: true}
		for _, e := range []session.Event{
			{Event: session.EventGranted, Job: "7", Node: "nid1", Ends: &ends},
			{Event: session.EventReady, On: "nid1"},
			{Event: session.EventWarning, Message: "job 7 reaches its time limit: save your work", Ends: &ends},
			{Event: session.EventLost, Host: c.host, Message: "it does not answer"},
		} {
			s.Apply(e)
		}
		v := s.buildView(true, now)
		if text := strings.Join(v.Lines, " "); !strings.Contains(text, c.want) || strings.Contains(text, c.lack) || strings.Contains(v.Warning, "save") {
			t.Errorf("%s: %q, warning %q", c.host, text, v.Warning)
		}
		s.Apply(session.Event{Event: session.EventRestored, Host: c.host})
		if v = s.buildView(true, now); !strings.Contains(v.Warning, "save") {
			t.Errorf("%s: restored, warning %q", c.host, v.Warning)
		}
	}
}

// TestStoryOfAnEstimate: an expected start that has passed is none.
func TestStoryOfAnEstimate(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]bool{time.Hour: true, -time.Minute: false} {
		start := now.Add(after)
		s := pageState{cfg: Config{Cluster: "daint"}}
		s.Apply(session.Event{Event: session.EventQueued, Job: "7", Start: &start})
		if text := strings.Join(s.buildView(true, now).Lines, " "); strings.Contains(text, "xpected to start") != want {
			t.Errorf("expected in %v: %q", after, text)
		}
	}
}

// TestStoryOfAnEarlierGrant: a step that was done before this process began has no time.
func TestStoryOfAnEarlierGrant(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, earlier := range []bool{false, true} {
		s := pageState{cfg: Config{Cluster: "daint", Hops: []string{"ela"}}}
		s.Apply(session.Event{Event: session.EventConnected, Host: "ela", Time: now})
		s.Apply(session.Event{Event: session.EventGranted, Job: "7", Node: "nid1", Earlier: earlier, Time: now.Add(time.Minute)})
		v := s.buildView(true, now)
		if step := v.Steps[1]; step.State != "done" || (step.Took == "") != earlier {
			t.Errorf("earlier: %v: %+v", earlier, step)
		}
	}
}
