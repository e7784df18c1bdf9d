package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A login shell that hangs in its start-up files is told, and leaves no doubt behind: nothing was
// asked for, nor is it when the shell goes on.
func TestShellHangs(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	hang := make(chan struct{})
	a.hang.Store(&hang)
	cfg := a.config()
	cfg.slowResponse = 300 * time.Millisecond
	l := a.start(cfg)
	if e := l.await(EventWarning); !strings.Contains(e.Message, "the login shell has not started") {
		t.Errorf("warning %q", e.Message)
	}
	l.interrupt(ErrInterrupted)
	if err := l.end(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("ended with %v", err)
	}
	close(hang)
	waittest.Until(t, 10*time.Second, "the end of the shell", func() bool { return a.hung.Load() == 0 })
	if a.Requested() {
		t.Errorf("a job was asked for by a shell that nobody waited for any more:\n%s", a.Calls())
	}
	a.nothingLeft()
}

// A Slurm that does not answer is told.
func TestSlurmSilent(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_PAUSE=before-salloc")
	cfg := a.config()
	cfg.slowResponse = time.Second
	l := a.start(cfg)
	for e := l.await(EventWarning); !strings.Contains(e.Message, "Slurm does not answer"); e = l.await(EventWarning) {
		t.Logf("warning %q", e.Message) // on a loaded machine, the shell is slow too
	}
	a.GoOn()
	l.await(EventReady)
	l.endReady()
	a.nothingLeft()
}

// TestInline: hints are told apart also in the middle of a sentence.
func TestInline(t *testing.T) {
	if got := (Explanation{Hint: "do this: a\nor that: b"}).inlineHint(); got != "do this: a; or that: b" {
		t.Error(got)
	}
}
