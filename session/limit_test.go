package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// The user is told 10 and 2 minutes before the time limit, and of no time that has
// passed already.
func TestWarningsOfLimit(t *testing.T) {
	for _, c := range []struct {
		limit time.Duration
		at    []time.Duration // before the end
	}{
		{time.Hour, []time.Duration{10 * time.Minute, 2 * time.Minute}},
		{10 * time.Minute, []time.Duration{2 * time.Minute}},
		{2 * time.Minute, nil},
		{time.Minute, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			ends := time.Now().Add(c.limit)
			var told []time.Duration
			s := newSession(Config{}, func(e Event) {
				if e.Event != EventWarning || e.Ends == nil || !e.Ends.Equal(ends) || !strings.Contains(e.Message, "save your work") {
					t.Errorf("told %+v", e)
				}
				told = append(told, time.Until(ends))
			})
			s.job.info.Ends = ends
			timer, over := time.NewTimer(time.Hour), time.NewTimer(c.limit)
			timer.Stop()
			for s.awaitLimit(timer); ; {
				select {
				case <-timer.C:
					s.warnOfLimit()
					s.awaitLimit(timer)
					continue
				case <-over.C:
				}
				break
			}
			if len(told) != len(c.at) {
				t.Fatalf("limit %v: told %v before the end", c.limit, told)
			}
			for i := range told {
				if told[i] != c.at[i] {
					t.Errorf("limit %v: told %v before the end", c.limit, told)
				}
			}
		})
	}
}

// TestWarningIsTrue: the warning counts what is left when it is printed, however late that is, and asks
// for work to be saved only where the server can be reached.
func TestWarningIsTrue(t *testing.T) {
	for _, c := range []struct {
		name       string
		left       time.Duration
		change     func(*session)
		want, lack string
	}{
		{"in time", 2 * time.Minute, func(*session) {}, "in 2 min,", "not known"},
		{"after a sleep", 20 * time.Second, func(*session) {}, "in 20 s,", "0 min"},
		{"after a sleep", 95 * time.Second, func(*session) {}, "in 1 min 35 s,", "2"},
		{"too late", -time.Second, func(*session) {}, "has reached its time limit", " in "},
		{"node lost", 2 * time.Minute, func(s *session) { s.node.lost, s.node.name = true, "nid1" }, "nid1", "save your work"},
		{"connection lost", 2 * time.Minute, func(s *session) { s.login.lostHop = "ela" }, "ela", "save your work"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var told Event
			s := newSession(Config{}, func(e Event) { told = e })
			s.job.info.Ends = time.Now().Add(c.left)
			c.change(s)
			s.warnOfLimit()
			if !strings.Contains(told.Message, c.want) || strings.Contains(told.Message, c.lack) || told.Ends == nil {
				t.Errorf("%s: %+v", c.name, told)
			}
		})
	}
}

// TestWhatIsLeft: what a session that is left says of itself follows from what ends it first.
func TestWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			lease   time.Duration
			ends    time.Duration // from now; 0: not known
			limit   string        // that was asked for, of one that is queued: by --time, or by an option of Slurm's
			queued  bool
			bounded bool
			want    string
		}{
			{"the lease", time.Hour, 2 * time.Hour, "", false, false, "for the time of its lease"},
			{"the limit", time.Hour, 3 * time.Minute, "", false, true, "until its time limit"},
			{"no limit", time.Hour, 0, "", false, false, "for the time of its lease"},
			{"no lease", 0, 3 * time.Minute, "", false, true, "until its time limit"},
			{"queued, the lease", time.Hour, 0, "2:00:00", true, false, "for the time of its lease"},
			{"queued, the limit", time.Hour, 0, "10", true, true, "until its time limit"},
			{"queued, the limit by an option", time.Hour, 0, "-t10", true, true, "until its time limit"},
			{"queued, not known", time.Hour, 0, "", true, false, "for the time of its lease"},
		} {
			var told Event
			s := newSession(Config{Lease: c.lease}, func(e Event) { told = e })
			if strings.HasPrefix(c.limit, "-") {
				s.cfg.Request.Time, s.cfg.Request.Extra = "2:00:00", []string{c.limit}
			} else {
				s.cfg.Request.Time = c.limit
			}
			s.job.info.ID, s.job.info.Nodes = "7", []string{"nid1"}
			if c.queued {
				s.job.queued, s.job.info.Nodes = "7", nil
			}
			if c.ends > 0 {
				s.job.info.Ends = time.Now().Add(c.ends)
			}
			s.tellDetached()
			if told.Bounded != c.bounded || told.Kept != c.queued || told.Lease != int(c.lease/time.Second) || (told.Until != nil) != (c.ends > 0) {
				t.Errorf("%s: %+v", c.name, told)
			}
			if got := s.goesOn(); !strings.Contains(got, c.want) {
				t.Errorf("%s: %q", c.name, got)
			}
		}
	})
}

// TestJobOfATunnel: the end of a tunnel is not the end of the job that it led into.
func TestJobOfATunnel(t *testing.T) {
	var told Event
	cfg := Config{Explain: func(err error) Explanation { return Explanation{Message: err.Error()} }}
	tn := &tunnel{sessionCore: newSessionCore(cfg, func(e Event) { told = e })}
	tn.job.info.ID = "7"
	if err := tn.reportEnd(ErrInterrupted, "", &serverLog{}); told.Event != EventEnded || strings.Contains(told.Reason, "7") {
		t.Errorf("%v: %+v", err, told)
	}
	s := newSession(cfg, nil)
	s.job.info.ID = "7"
	if got := s.jobEndedText(); !strings.Contains(got, "7") {
		t.Errorf("a session's job: %q", got)
	}
}

// TestSuspended: the user learns once that Slurm has suspended the job; when the job is resumed, its time
// limit is a later one.
func TestSuspended(t *testing.T) {
	var told []Event
	ends := time.Now().Add(time.Hour).Round(time.Second)
	s := newSession(Config{}, func(e Event) { told = append(told, e) })
	s.job.info = slurm.JobInfo{ID: "7", State: "RUNNING", Ends: ends}
	for _, m := range []slurm.JobInfo{
		{ID: "7", State: "SUSPENDED", Ends: ends},
		{ID: "7", State: "SUSPENDED", Ends: ends},
		{ID: "7", State: "RUNNING", Ends: ends.Add(time.Minute)},
		{ID: "7", State: "RUNNING", Ends: ends.Add(time.Minute)},
	} {
		if done, err := s.handleMessage(t.Context(), slurm.JobState{Job: m}); done || err != nil {
			t.Fatalf("%s: %t, %v", m.State, done, err)
		}
	}
	if len(told) != 2 || told[0].Event != EventWarning || !strings.Contains(told[0].Message, "suspended job 7") || told[1].Event != EventWarning ||
		!strings.Contains(told[1].Message, "resumed job 7") || !s.job.info.Ends.Equal(ends.Add(time.Minute)) {
		t.Errorf("told %+v; the job ends at %v", told, s.job.info.Ends)
	}
}
