package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// orphan is a session whose client has died while the server listened.
func (a *alps) orphan(cfg Config) {
	a.t.Helper()
	c, err := chain.Dial(a.t.Context(), cfg.Hops, cfg.Chain)
	if err != nil {
		a.t.Fatal(err)
	}
	listening := errors.New("it listens")
	s := slurm.Submission{ID: cfg.ID, Request: cfg.Request, Launch: cfg.buildLaunch(), Lease: time.Hour}
	_, err = s.Submit(a.t.Context(), c, func(e slurm.Event) error {
		if _, ok := e.(slurm.Listening); ok {
			return listening
		}
		return nil
	})
	_ = c.Close()
	if !errors.Is(err, listening) {
		a.t.Fatalf("submit: %v", err)
	}
}

func TestStopWithoutItsClient(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	a.orphan(cfg)
	var events []string
	err := Stop(t.Context(), cfg, false, func(e Event) {
		events = append(events, e.Event)
		if strings.Contains(e.Reason, "elsewhere") {
			t.Errorf("it is stopped here: %s: %q", e.Event, e.Reason)
		}
	})
	if err != nil {
		t.Errorf("stop: %v", err)
	}
	if got := strings.Join(events, " "); got != "connecting connected connecting connected ending ended" {
		t.Errorf("events: %s", got)
	}
	a.nothingLeft()
	logs, _ := os.ReadDir(cfg.LogDir)
	if len(logs) != 1 {
		t.Errorf("logs %v", logs)
	}
	// The server was asked to end, not killed.
	if !strings.Contains(a.Calls(), "--signal=URG") {
		t.Error("the runner was not asked")
	}

	// Again: nothing is there, which is as it was asked.
	if err := Stop(t.Context(), cfg, false, func(Event) {}); err != nil {
		t.Errorf("stop again: %v", err)
	}
}

// TestStopByNumber: the login node does not see the session's directory, and nothing but its number
// proves that the job of salloc's is the session's. It is ended where the number is known, and reported
// with its number where it is not.
func TestStopByNumber(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	a.orphan(cfg)
	job := a.Jobs()[0]
	dir := filepath.Join(a.Home, ".cscs")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	var left *TeardownError
	if err := Stop(t.Context(), cfg, false, func(Event) {}); !errors.As(err, &left) || left.Job != job || len(a.Jobs()) != 1 {
		t.Errorf("stop without the number: %v; jobs %v", err, a.Jobs())
	}
	cfg.Job = job
	if err := Stop(t.Context(), cfg, false, func(Event) {}); err != nil || len(a.Jobs()) != 0 {
		t.Errorf("stop by number: %v; jobs %v", err, a.Jobs())
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := Stop(t.Context(), cfg, false, func(Event) {}); err != nil {
		t.Errorf("stop with the directory: %v", err)
	}
	a.nothingLeft()
}

func TestStopThatCannot(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_NO_CANCEL=1")
	cfg := a.config()
	a.orphan(cfg)
	abandon, leave := context.WithCancel(t.Context())
	grace, endGrace := context.WithCancel(t.Context())
	cfg.Grace, cfg.Abandon = grace, abandon
	var last Event
	err := Stop(t.Context(), cfg, false, func(e Event) {
		if last = e; e.Event == EventEnding {
			endGrace()
			leave()
		}
	})
	var left *TeardownError
	if !errors.As(err, &left) || left.Name != "cscs-"+cfg.ID {
		t.Errorf("stop: %v", err)
	}
	if last.Event != EventEnded || *last.Code == 0 {
		t.Errorf("last event %+v", last)
	}

	// Nobody knows of its job if the cluster cannot be reached.
	a.away.Store(1)
	cfg.Grace, cfg.Abandon = nil, nil
	left = nil
	if err := Stop(t.Context(), cfg, false, func(Event) {}); !errors.As(err, &left) || left.Name != "cscs-"+cfg.ID || left.Host != "daint" {
		t.Errorf("stop without a way: %v", err)
	}
	a.away.Store(1)
	var away *chain.DialError
	if err := Stop(t.Context(), cfg, true, func(Event) {}); !errors.As(err, &away) || errors.As(err, &left) {
		t.Errorf("stop what is not known, without a way: %v", err)
	}

	gone, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	if err := Stop(gone, cfg, false, func(Event) {}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("interrupted on the way there: %v", err)
	}
}
