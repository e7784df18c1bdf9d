package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Ctrl-C while sbatch hangs before Slurm has the request: sbatch ends, the request never comes, and
// the end is told as one that left nothing.
func TestInterruptedWhileSbatchHangs(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		a := newAlps(t, "FAKE_PAUSE=before-sbatch", "FAKE_QUEUE=1")
		cfg := a.config()
		cfg.Lease = time.Hour
		l := a.start(cfg)
		a.Paused()
		l.interrupt(ErrInterrupted)
		if again {
			l.endGrace()
		}
		if err := l.end(); !errors.Is(err, ErrInterrupted) {
			t.Errorf("interrupted again %v: ended with %v", again, err)
		}
		if n := a.Running("bin/sbatch"); n > 0 {
			t.Errorf("interrupted again %v: %d sbatch are left", again, n)
		}
		if strings.Contains(l.names(), EventWarning) {
			t.Errorf("interrupted again %v: it warns of a server that there is not: %s", again, l.names())
		}
		a.GoOn()
		if jobs := a.Jobs(); len(jobs) > 0 {
			t.Errorf("interrupted again %v: jobs left: %v", again, jobs)
		}
	}
}

// A job that Slurm could not launch waits again, and the session with it.
func TestRequeuedAtLaunch(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Lease = time.Hour
	l := a.start(cfg)
	l.await(EventQueued)
	job := a.Jobs()[0]
	a.SetState(job, "RUNNING")
	l.await(EventGranted)
	a.SetState(job, "PENDING")
	l.await(EventWarning)
	l.await(EventQueued)
	a.Free()
	l.await(EventGranted)
	l.await(EventReady)
	l.endReady()
}
