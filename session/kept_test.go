package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/slurm"
)

// The connection is lost, and our command on the login node killed, while the job waits in
// Slurm alone: the session goes on and sees it start.
func TestKeptWhileQueued(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Lease, cfg.Request.Via = time.Hour, slurm.ViaSbatch
	l := a.start(cfg)
	q := l.await(EventQueued)
	a.ela.Cut()
	l.await(EventLost)
	l.await(EventRestored)
	// It comes with the new connection.
	for deadline := time.Now().Add(10 * time.Second); a.KillLogin() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("there is no command of ours")
		}
	}
	l.await(EventWarning)
	a.Free()
	if g := l.await(EventGranted); g.Job != q.Job {
		t.Errorf("queued as job %s, granted as %s", q.Job, g.Job)
	}
	ready := l.await(EventReady)
	if err := get(t, ready.URL); err != nil {
		t.Error(err)
	}
	l.endReady()
	a.nothingLeft()
}

// A stop of ours from elsewhere is an end as asked, running or queued.
func TestStoppedElsewhere(t *testing.T) {
	t.Parallel()
	for _, event := range []string{EventReady, EventQueued} {
		t.Run(event, func(t *testing.T) {
			t.Parallel()
			a := newAlps(t)
			if event == EventQueued {
				a = newAlps(t, "FAKE_QUEUE=1")
			}
			cfg := a.config()
			cfg.Request.Via = slurm.ViaSbatch
			l := a.start(cfg)
			l.await(event)
			stop := slurm.Stopping{ID: cfg.ID, Grace: stopGrace}
			if event == EventReady {
				stop.Step = "4711.0"
			}
			if _, err := slurm.Stop(t.Context(), a, stop); err != nil {
				t.Fatal(err)
			}
			if e := l.await(EventEnded); !strings.HasPrefix(e.Reason, "stopped from elsewhere") || *e.Code != 0 {
				t.Errorf("ended with %q, code %d", e.Reason, *e.Code)
			}
			if err := l.end(); err != nil {
				t.Errorf("ended with %v", err)
			}
			a.nothingLeft()
		})
	}
}

// The lease of the configuration is the session's on the cluster, and is renewed while the client
// lives; the session says of itself how long it is.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.Lease = 4 * time.Second
	l := a.start(cfg)
	ready := l.await(EventReady)
	dir := filepath.Join(a.Home, ".cscs", "fake", cfg.ID)
	value := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "lease"))
		if err != nil {
			t.Fatal(err)
		}
		v, _, _ := strings.Cut(string(text), " ")
		return v
	}
	about, err := os.ReadFile(filepath.Join(dir, "session.json"))
	if err != nil || ParseAbout(string(about)).Lease != 4 {
		t.Errorf("the session says %s, %v", about, err)
	}
	seen := map[string]bool{}
	waittest.Until(t, 30*time.Second, "renewals for longer than the lease", func() bool {
		seen[value()] = true
		return len(seen) >= 7
	})
	if err := get(t, ready.URL); err != nil {
		t.Error(err)
	}
	l.endReady()
	a.nothingLeft()
}
