//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for one thing that must happen.
const patience = 60 * time.Second

// tape records what a process writes; whoever waits is told of each write.
type tape struct {
	mu     sync.Mutex
	text   bytes.Buffer
	wrote  chan struct{} // closed and renewed at each write
	closed bool
}

func newTape() *tape { return &tape{wrote: make(chan struct{})} }

func (l *tape) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	close(l.wrote)
	l.wrote = make(chan struct{})
	return len(p), nil
}

// end says that nothing more will come.
func (l *tape) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	close(l.wrote)
	l.wrote = make(chan struct{})
}

// poke has those who wait look again.
func (l *tape) poke() { _, _ = l.Write(nil) }

func (l *tape) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await gives what found makes of the text as soon as that is not empty, and ""
// if the text ends, or the limit passes, before.
func (l *tape) await(limit time.Duration, found func(text string) string) string {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		l.mu.Lock()
		text, wrote, closed := l.text.String(), l.wrote, l.closed
		l.mu.Unlock()
		if s := found(text); s != "" || closed {
			return s
		}
		select {
		case <-wrote:
		case <-timer.C:
			return ""
		}
	}
}

// background is a process that runs beside the test and ends with it.
type background struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *tape
	stderr *tape
	done   chan struct{}
	code   int // once done is closed
}

// start starts cmd; the test's end kills it if it still runs.
func start(t *testing.T, cmd *exec.Cmd) *background {
	t.Helper()
	b := &background{t: t, cmd: cmd, stdout: newTape(), stderr: newTape(), done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = b.stdout
	}
	cmd.Stderr = b.stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %q: %v", cmd.Args, err)
	}
	go b.wait(nil)
	t.Cleanup(b.kill)
	return b
}

// wait waits for the end of the process, and for that of what it has written, if somebody else
// reads that. Something that it has left behind may hold the terminal for longer.
func (b *background) wait(read <-chan struct{}) {
	err := b.cmd.Wait()
	if read != nil {
		isClosedWithin(5*time.Second, read)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		b.code = exit.ExitCode()
	case errors.As(err, &exit):
		b.code = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
	default:
		b.code = -1
		_, _ = io.WriteString(b.stderr, err.Error())
	}
	b.stdout.end()
	b.stderr.end()
	close(b.done)
}

// signal reaches the command itself: what stands for it here hands it on.
func (b *background) signal(s os.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatalf("signal %v: %v", s, err)
	}
}

// kill asks the command to end before it insists: SIGKILL would reach only what
// stands for it here, and leave the command itself behind.
func (b *background) kill() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	if !isClosedWithin(20*time.Second, b.done) {
		_ = b.cmd.Process.Kill()
		<-b.done
	}
}

// exit waits for the end and gives the exit code.
func (b *background) exit(limit time.Duration) int {
	b.t.Helper()
	if !isClosedWithin(limit, b.done) {
		before := b.stderr.String()
		stacks(b.cmd.Process.Pid)
		isClosedWithin(10*time.Second, b.done)
		b.t.Fatalf("%q still runs after %v\nstdout: %s\nstderr: %s\nwhere it was: %s",
			b.cmd.Args, limit, b.stdout, before, strings.TrimPrefix(b.stderr.String(), before))
	}
	return b.code
}

// isClosedWithin waits until the channel is closed, and reports whether that comes within limit.
func isClosedWithin(limit time.Duration, c <-chan struct{}) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}

// stacks has the cscs among the descendants of a process write where each of its goroutines is, and end.
func stacks(ancestor int) {
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", ancestor))
	for _, path := range children {
		text, _ := os.ReadFile(path)
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			stacks(pid)
			if name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(filepath.Base(name), "cscs") {
				_ = syscall.Kill(pid, syscall.SIGQUIT)
			}
		}
	}
}

// line waits until stdout has a line that contains the word, and gives it.
func (b *background) line(word string) string {
	b.t.Helper()
	s := b.stdout.await(patience, func(text string) string { return lineWith(text, word) })
	if s == "" {
		b.t.Fatalf("%q never wrote %q\nstdout: %s\nstderr: %s", b.cmd.Args, word, b.stdout, b.stderr)
	}
	return s
}

// lineWith gives the first complete line that contains the word.
func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "\n") && strings.Contains(line, word) {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}

// poll asks state until it is empty, and gives what it said last. It is for
// what sends no event: a queue, a process table, a file of another host.
func poll(limit time.Duration, state func() string) string {
	return pollEvery(50*time.Millisecond, limit, state)
}

// pollEvery is poll with the pause between two questions: a long one for questions that take the
// machine long to answer and whose answer mostly takes seconds to change.
func pollEvery(pause, limit time.Duration, state func() string) string {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		s := state()
		if s == "" || time.Now().After(deadline) {
			return s
		}
		<-tick.C
	}
}
