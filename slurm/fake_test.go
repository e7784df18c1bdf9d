package slurm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeCluster runs the remote half with this machine's bash, against commands
// that print what Slurm's were seen to print (testdata/bin).
type fakeCluster struct {
	t    *testing.T
	dir  string // the fake Slurm's state
	home string
	env  []string
}

func newFake(t *testing.T, env ...string) *fakeCluster {
	t.Helper()
	bin, err := filepath.Abs("testdata/bin")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeCluster{t: t, dir: t.TempDir(), home: t.TempDir()}
	f.env = append([]string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + f.home, "FAKE=" + f.dir,
		"SHELL=/bin/bash", "SQUEUE_FORMAT=%i only", "SLURM_TIME_FORMAT=relative", "SSH_CLIENT=127.0.0.1 1 22",
	}, env...)
	t.Cleanup(func() {
		if t.Failed() {
			calls, _ := os.ReadFile(filepath.Join(f.dir, "calls"))
			t.Logf("calls of Slurm's commands:\n%s", calls)
		}
	})
	return f
}

type exitStatus int

func (e exitStatus) Error() string   { return "exit" }
func (e exitStatus) ExitStatus() int { return int(e) }

// Exec does what sshd does: the login shell is given the command.
func (f *fakeCluster) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	cmd := exec.Command("/bin/bash", "-c", command)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = f.env, f.home, stdout, stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_, _ = io.Copy(in, stdin)
		in.Close()
	}()
	stop := context.AfterFunc(ctx, func() { in.Close() })
	defer stop()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = exitStatus(exit.ExitCode())
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (f *fakeCluster) calls() string {
	b, err := os.ReadFile(filepath.Join(f.dir, "calls"))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// A run is a submission under way.
type run struct {
	t        *testing.T
	events   chan Event
	withdraw chan struct{}
	done     chan struct{}
	outcome  Outcome
	err      error
	once     sync.Once
}

func (f *fakeCluster) submit(ctx context.Context, s Submission) *run {
	r := &run{t: f.t, events: make(chan Event, 100), withdraw: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.outcome, r.err = Submit(ctx, f, s, r.withdraw, func(e Event) error {
			r.events <- e
			return nil
		})
		close(r.events)
	}()
	f.t.Cleanup(func() { r.letGo(); <-r.done })
	return r
}

func (r *run) letGo() { r.once.Do(func() { close(r.withdraw) }) }

// await returns the first event of type T from now on.
func await[T Event](r *run) T {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
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
		case <-deadline:
			var want T
			r.t.Fatalf("no %T came", want)
		}
	}
}

func (r *run) wait() {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		r.t.Fatal("the submission did not end")
	}
}

func testID(t *testing.T) string {
	return strings.ToLower(strings.NewReplacer("/", "", "_", "").Replace(t.Name()))
}

func stopFake(t *testing.T, f *fakeCluster, s Stopping) (string, *Exited) {
	t.Helper()
	var log bytes.Buffer
	s.Log = &log
	exited, err := Stop(t.Context(), f, s)
	if err != nil {
		t.Fatalf("Stop: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(f.home, ".cscs")); err != nil || len(left) > 0 {
		t.Errorf("left in the home directory: %v, %v", left, err)
	}
	return log.String(), exited
}
