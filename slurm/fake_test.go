package slurm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A run is a submission under way.
type run struct {
	t       *testing.T
	s       *Submission
	events  chan Event
	done    chan struct{}
	outcome Outcome
	err     error
}

func submit(ctx context.Context, t *testing.T, f *slurmtest.Cluster, s *Submission) *run {
	t.Helper()
	return reading(ctx, t, f, s, s.Submit)
}

func follow(ctx context.Context, t *testing.T, f *slurmtest.Cluster, s *Submission) *run {
	t.Helper()
	return reading(ctx, t, f, s, s.Follow)
}

func reading(ctx context.Context, t *testing.T, f *slurmtest.Cluster, s *Submission, read func(context.Context, Remote, func(Event) error) (Outcome, error)) *run {
	r := &run{t: t, s: s, events: make(chan Event, 1000), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.outcome, r.err = read(ctx, f, func(e Event) error {
			select {
			case r.events <- e:
			case <-t.Context().Done(): // the test has ended and reads no more
			}
			return nil
		})
		close(r.events)
	}()
	t.Cleanup(func() { r.letGo(); <-r.done })
	return r
}

func (r *run) letGo() { r.s.Withdraw() }

// hangLimit is reached only by a test that hangs.
const hangLimit = 2 * time.Minute

// await returns the first event of type T from now on.
func await[T Event](r *run) T {
	r.t.Helper()
	deadline := time.NewTimer(hangLimit)
	defer deadline.Stop()
	for {
		select {
		case e, ok := <-r.events:
			if !ok {
				<-r.done
				var want T
				r.t.Fatalf("the submission ended (%v) before a %T", r.err, want)
			}
			if e, ok := e.(T); ok {
				return e
			}
		case <-deadline.C:
			var want T
			r.t.Fatalf("no %T came", want)
		}
	}
}

func (r *run) wait() {
	r.t.Helper()
	waittest.Receive(r.t, hangLimit, "the end of the submission", r.done)
}

// testID is a session ID that belongs to the test alone.
func testID(t *testing.T) string {
	sum := sha256.Sum256([]byte(t.Name()))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
}

func stopFake(t *testing.T, f *slurmtest.Cluster, s Stopping) (string, *Exited) {
	t.Helper()
	var log bytes.Buffer
	s.Log = &log
	exited, err := Stop(t.Context(), f, s)
	if err != nil {
		t.Fatalf("Stop: %v", err)
	}
	if jobs := f.Jobs(); len(jobs) > 0 {
		t.Errorf("Stop says that the job is gone, and there is %v", jobs)
	}
	if left, err := filepath.Glob(filepath.Join(f.Home, ".cscs")); err != nil || len(left) > 0 {
		t.Errorf("left in the home directory: %v, %v", left, err)
	}
	return log.String(), exited
}

// awaitAny returns the next event, whatever it is.
func awaitAny(r *run) Event { return await[Event](r) }

// bashCommand runs text in bash, with args as its parameters. It comes from a file: the remote half is
// longer than one argument may be (execve(2), MAX_ARG_STRLEN).
func bashCommand(t *testing.T, text string, args ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), "bash", append([]string{"--noprofile", "--norc", file}, args...)...)
}
