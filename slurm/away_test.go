package slurm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// TestDirectoryAway: neither the client nor this login node knows the number of the session's job: the
// request's answer was lost, and a file system is not mounted. A follow does not end the session. A stop
// ends the job of sbatch's, whose output file names the session, and reports one that it cannot prove to
// be the session's (invariants I3, I11).
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"", ".cscs"} {
		for _, provable := range []bool{true, false} {
			t.Run(map[string]string{"": "home", ".cscs": ".cscs"}[what]+map[bool]string{true: ", sbatch", false: ", salloc"}[provable], func(t *testing.T) {
				t.Parallel()
				f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE=in-sbatch")
				id := testID(t)
				s := &Submission{ID: id, Lease: time.Hour, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}}
				r := submit(t.Context(), t, f, s)
				f.Paused()
				f.StopLogin()
				f.KillLogin()
				r.wait()
				jobs := f.Jobs()
				if len(jobs) != 1 || s.job != "" {
					t.Fatalf("jobs %v; the client knows %q", jobs, s.job)
				}
				if !provable {
					if err := os.Remove(f.JobFile(jobs[0], "out")); err != nil {
						t.Fatal(err)
					}
				}
				away := filepath.Join(f.Home, what)
				if err := os.Rename(away, f.Home+".away"); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Rename(f.Home+".away", away) }()

				_, err := s.Follow(t.Context(), f, func(Event) error { return nil })
				var remote *RemoteError
				if !errors.As(err, &remote) || remote.Kind != "away" {
					t.Errorf("follow: %v", err)
				}
				_, err = Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep, Log: io.Discard})
				left := len(f.Jobs())
				if provable {
					if err != nil || left != 0 {
						t.Errorf("stop: %v; jobs left: %d", err, left)
					}
					return
				}
				var remains *RemainsError
				if !errors.As(err, &remains) || remains.Job != jobs[0] || remains.Message == "" || left != 1 {
					t.Errorf("stop: %v; jobs left: %d", err, left)
				}
			})
		}
	}
}

// TestHomeAwayNoJob: without the home directory, nothing tells whether a request is on its way.
func TestHomeAwayNoJob(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	if err := os.Rename(f.Home, f.Home+".away"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Rename(f.Home+".away", f.Home) }()
	s := &Submission{ID: id, Lease: time.Hour}
	var remote *RemoteError
	if _, err := s.Follow(t.Context(), f, func(Event) error { return nil }); !errors.As(err, &remote) || remote.Kind != "away" {
		t.Errorf("follow: %v", err)
	}
	var remains *RemainsError
	if _, err := Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep}); !errors.As(err, &remains) || remains.Job != "" {
		t.Errorf("stop: %v", err)
	}
}
