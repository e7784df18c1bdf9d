package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDetachBeforeRunner: who detaches from a job that runs without a runner is not told that a lease
// counts, nor that the cluster was not reached: it was.
func TestDetachBeforeRunner(t *testing.T) {
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
	l := a.adopt(cfg, "alice@laptop (pid 1)")
	l.await(EventGranted)
	l.interrupt(ErrInterrupted)
	if err := l.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if e := l.await(EventDetached); e.Lease != 0 {
		t.Errorf("told with a lease of %d s", e.Lease)
	}
	end := l.await(EventEnded)
	if strings.Contains(end.Reason, "lease") || strings.Contains(end.Reason, "could not be reached") || !strings.Contains(end.Reason, "cscs stop "+cfg.ID) {
		t.Errorf("ended: %q", end.Reason)
	}
}
