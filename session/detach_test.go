package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/app"
)

// TestDetachBeforeRunner: who detaches from a job that runs without a runner is not told that a lease
// counts, nor that the cluster was not reached: it was.
func TestDetachBeforeRunner(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	dir := filepath.Join(a.Home, ".cscs", "fake", cfg.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"mark": "cscs " + cfg.ID + "\n", "events": "", "session.json": `{"id":"` + cfg.ID + `","lease":3600}` + "\n",
		"starter": "another-login-node 1 1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	if err := a.Exec(t.Context(), "sbatch --job-name=cscs-"+cfg.ID+" --wrap='sleep 100'", strings.NewReader(""), &said, &said); err != nil {
		t.Fatalf("sbatch: %v: %s", err, &said)
	}
	cfg.Lease = time.Hour
	l := a.attach(cfg, "alice@laptop (pid 1)")
	l.await(EventGranted)
	l.endReady()
	if e := l.await(EventDetached); e.Lease != 0 {
		t.Errorf("told with a lease of %d s", e.Lease)
	}
	end := l.await(EventEnded)
	if strings.Contains(end.Reason, "lease") || strings.Contains(end.Reason, "could not be reached") || !strings.Contains(end.Reason, "cscs stop "+cfg.ID) {
		t.Errorf("ended: %q", end.Reason)
	}
}

// TestPortOfADetached: a session without a local port has a wish for its server's port all the same, which
// those that attach can have.
func TestPortOfADetached(t *testing.T) {
	for _, c := range []struct {
		local, app, fixed int
		least, most       int
	}{
		{0, 0, 0, firstServerPort, firstServerPort + serverPorts - 1},
		{7000, 0, 0, 7000, 7000},
		{0, 8888, 0, 8888, 8888},
		{80, 0, 0, 0, 0},
		{0, 0, 6006, 0, 0},
	} {
		s := newSession(Config{Detach: true, LocalPort: c.local, App: app.App{LocalPort: c.app, Port: c.fixed}}, func(Event) {})
		if got := s.wishedPort(); got < c.least || got > c.most {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
