//go:build unix

package session

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/stoptest"
	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/slurm"
)

// The process is stopped for longer than the server may take to start. The server has
// started meanwhile, so the session is ready when the process continues.
func TestStoppedWhileServerStarts(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		a := newAlps(t)
		cfg := a.config()
		file := filepath.Join(t.TempDir(), "listen")
		cfg.App.Argv = lateServer(file)
		cfg.StartTimeout = 20 * time.Second // the server must have been started by then
		l := a.start(cfg)
		l.await(EventStarted)
		touch(t, file)
		stop(cfg.StartTimeout + 2*time.Second)
		l.await(EventReady)
		l.endReady()
		a.nothingLeft()
	})
}

// The process is stopped for longer than the job may wait. It has been granted meanwhile.
func TestStoppedWhileQueued(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		a := newAlps(t, "FAKE_QUEUE=1")
		cfg := a.config()
		cfg.QueueTimeout = 20 * time.Second // the request must have been made by then
		l := a.start(cfg)
		l.await(EventQueued)
		a.Free()
		stop(cfg.QueueTimeout + 2*time.Second)
		l.await(EventReady)
		l.endReady()
		a.nothingLeft()
	})
}

// The process is stopped after the warning that the session ends for want of use. The user
// has the time of the warning when it continues.
func TestStoppedAfterIdleWarning(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		a := newAlps(t)
		cfg := a.config()
		cfg.Idle = 8 * time.Second
		l := a.start(cfg)
		ready := l.await(EventReady)
		l.await(EventWarning)
		stop(cfg.Idle)
		if err := get(t, ready.URL); err != nil {
			t.Fatalf("used after the process continued: %v", err)
		}
		l.await(EventWarning) // so that use has counted
		l.endReady()
		a.nothingLeft()
	})
}

// The process is stopped while it waits for an answer of Slurm's: that is not Slurm's silence.
func TestStoppedIsNotSilence(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		a := newAlps(t, "FAKE_PAUSE=before-salloc")
		cfg := a.config()
		cfg.slowResponse = 15 * time.Second // the login shell and the request must be quicker
		l := a.start(cfg)
		a.Paused()
		a.GoOn()
		stop(cfg.slowResponse + 2*time.Second)
		l.await(EventReady)
		if strings.Contains(l.names(), EventWarning) {
			t.Errorf("warned: %s", l.names())
		}
		l.endReady()
		a.nothingLeft()
	})
}

// The process is stopped while a connection to the server is opened. The node answers when
// it continues, and the connection with it.
func TestStoppedWhileConnecting(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		a := newAlps(t)
		line := newStall(t, a.node.Addr())
		a.nodeLine = line.ln.Addr().String()
		cfg := a.config()
		cfg.Metrics = new(Metrics)
		l := a.start(cfg)
		ready := l.await(EventReady)
		thaw := line.stop()
		got := make(chan error, 1)
		go func() { got <- getWithin(t, ready.URL, 2*time.Minute) }()
		waittest.Until(t, 30*time.Second, "the connection is held", func() bool { return cfg.Metrics.Read().Held > 0 })
		stop(portProbeTimeout + 2*time.Second)
		thaw()
		if err := <-got; err != nil {
			t.Errorf("a connection to a server that answers: %v", err)
		}
		l.endReady()
		a.nothingLeft()
	})
}

// The process is stopped for longer than a lost chain is dialled. The network is back a
// moment after it continues.
func TestStoppedWhileRedialling(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		failed, unreachable := make(chan struct{}, 1), &chain.DialError{Hop: "ela", Phase: chain.PhaseConnect, Err: syscall.ECONNREFUSED}
		dials, done := 0, new(share.Chain)
		cfg := Config{Lease: time.Hour, redialLimit: 6 * time.Second}
		cfg.Dial = func(context.Context, chain.Options) (*share.Chain, error) {
			if dials++; dials == 1 {
				failed <- struct{}{}
			}
			if dials < 3 {
				return nil, unreachable
			}
			return done, nil
		}
		s := newSession(cfg, func(Event) {})
		s.redialChain(t.Context())
		<-failed
		stop(cfg.redialLimit + 2*time.Second)
		if end := (<-s.messages).(redialled); end.chain != done {
			t.Errorf("given up after %d dials: %v", dials, end.err)
		}
		s.work.Wait()
	})
}

// The process is stopped while the reading of the events fails, for longer than that is tried
// again. It is tried again when the process continues.
func TestStoppedWhileUnread(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		s := newSession(Config{redialLimit: 3 * time.Second}, func(Event) {})
		work, end := context.WithCancel(t.Context())
		gone := &slurm.RemoteError{Kind: "gone"}
		if !s.readAgain(work, gone) {
			t.Error("not tried again")
		}
		stop(6 * time.Second)
		if !s.readAgain(work, gone) {
			t.Error("not tried again after a stop")
		}
		end()
		s.work.Wait()
	})
}
