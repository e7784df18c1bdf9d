package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
)

// TestLogName: a log is a file of the log directory, whatever a record or the cluster says.
func TestLogName(t *testing.T) {
	base := t.TempDir()
	for _, app := range append(hostiletest.Words, "") {
		dir := filepath.Join(base, "a", "b", "c")
		l := &serverLog{dir: dir, id: "abcdefgh", app: app}
		if _, err := l.Write([]byte("x")); err != nil {
			t.Errorf("%q: %v", app, err)
		}
		l.close()
		if filepath.Dir(l.path) != dir || strings.ContainsAny(filepath.Base(l.path), "\n\t\x00\x1b ;$'\"`\\|") {
			t.Errorf("%q: the log is %q", app, l.path)
		}
	}
	for _, id := range hostiletest.IDs {
		l := &serverLog{dir: filepath.Join(base, "d"), id: id, app: "jupyter"}
		if _, err := l.Write([]byte("x")); err == nil {
			t.Errorf("%q: the log is %q", id, l.path)
		}
		l.close()
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 1 {
		t.Errorf("there is %v, %v", left, err)
	}
}
