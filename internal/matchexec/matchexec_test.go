//go:build linux || darwin

package matchexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

func TestMain(m *testing.M) {
	if status, is := Helper(); is {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// A question is an ssh -G under way whose configuration has a command of "Match exec" that does not end.
type question struct {
	ran  string        // the file that has a line for each time that the command ran
	held *os.File      // ends with the last process of the command
	said *os.File      // ends with ssh and its helpers
	done chan struct{} // Run has returned
}

func askSlowly(ctx context.Context, t *testing.T, dir string) *question {
	t.Helper()
	q := &question{ran: filepath.Join(dir, "ran"), done: make(chan struct{})}
	fifo := filepath.Join(dir, "fifo")
	command := fmt.Sprintf("exec 3>%s; echo run >>%s; sleep 60; true", fifo, q.ran)
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, "Match exec \"%s\"\n    User eve\n", command), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	said, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	q.said = said
	cmd := exec.CommandContext(ctx, "ssh", "-F", config, "-G", "host")
	cmd.Stderr = stderr
	go func() {
		defer close(q.done)
		_ = Run(ctx, cmd)
		_ = stderr.Close()
	}()
	if q.held, err = os.OpenFile(fifo, os.O_RDONLY, 0); err != nil { // waits for the command
		t.Fatal(err)
	}
	t.Cleanup(func() { <-q.done; _ = q.held.Close(); _ = q.said.Close() })
	return q
}

// runs is how often the command ran.
func (q *question) runs(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(q.ran)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "run")
}

// checkEnd fails the test unless every process of the question ends.
func (q *question) checkEnd(t *testing.T) {
	t.Helper()
	<-q.done
	for name, file := range map[string]*os.File{"the command": q.held, "ssh or its helper": q.said} {
		if err := file.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, file); err != nil {
			t.Errorf("a process of %s is left: %v", name, err)
		}
	}
}

// TestInterrupted: the end of ctx ends the command with all its processes, and no helper runs it again.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q := askSlowly(ctx, t, t.TempDir())
	waittest.Until(t, 20*time.Second, "the command writes", func() bool { return q.wrote(t) > 0 })
	cancel()
	q.checkEnd(t)
	if n := q.runs(t); n != 1 {
		t.Errorf("the command ran %d times", n)
	}
}

func (q *question) wrote(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(q.ran)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestLate: a command that took too long for one question is not run for another, which ends as late.
func TestLate(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	q := askSlowly(ctx, t, dir)
	q.checkEnd(t)
	again, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := Run(again, exec.CommandContext(again, "ssh", "-F", filepath.Join(dir, "config"), "-G", "host"))
	if err == nil || again.Err() == nil {
		t.Errorf("the second question was answered: %v", err)
	}
	if n := q.runs(t); n != 1 {
		t.Errorf("the command ran %d times", n)
	}
}

// TestHelperAlone: a helper runs the command itself only if the process that has started ssh does not listen
// though it has not ended the question.
func TestHelperAlone(t *testing.T) {
	dir := t.TempDir()
	refusing := filepath.Join(dir, "refusing")
	if err := os.WriteFile(refusing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		socket string
		want   int
	}{"no listener": {refusing, 3}, "ended": {filepath.Join(dir, "gone"), failed}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-c", "exit 3")
		cmd.Env = append(os.Environ(), socketVar+"="+c.socket)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != c.want {
			t.Errorf("%s: %v, want status %d", name, err, c.want)
		}
	}
}
