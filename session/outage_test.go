package session

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// outage takes the connection to the login node away until the returned function is called.
func (l *life) outage(a *alps) (end func()) {
	l.t.Helper()
	a.away.Store(1 << 20)
	a.ela.Cut()
	l.await(EventLost)
	return func() { a.away.Store(0) }
}

// The network is away for longer than the server may take to start. The server has started
// meanwhile: within the lease, a lost network ends nothing (I2).
func TestOutageWhileServerStarts(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	file := filepath.Join(t.TempDir(), "listen")
	cfg.App.Argv = lateServer(file)
	cfg.Lease = time.Hour
	cfg.StartTimeout = 15 * time.Second // the server must have been started by then
	l := a.start(cfg)
	l.await(EventStarted)
	end := l.outage(a)
	touch(t, file)
	waittest.SpendRealTime(cfg.StartTimeout) // the length of the outage
	end()
	l.await(EventReady)
	l.endReady()
	a.nothingLeft()
}

// The network is away for longer than the job may wait. It has been granted meanwhile.
func TestOutageWhileQueued(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Lease = time.Hour
	cfg.QueueTimeout = 15 * time.Second // the request must have been made by then
	l := a.start(cfg)
	l.await(EventQueued)
	end := l.outage(a)
	a.Free()
	waittest.SpendRealTime(cfg.QueueTimeout) // the length of the outage
	end()
	l.await(EventReady)
	l.endReady()
	a.nothingLeft()
}
