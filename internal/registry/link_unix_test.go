//go:build unix

package registry

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestLinkedState: the end of the last session does not remove the user's link to a state directory
// elsewhere.
func TestLinkedState(t *testing.T) {
	elsewhere, state := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "cscs")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, state); err != nil {
		t.Fatal(err)
	}
	s := Open(state)
	if err := take(t, s, Record{ID: "abcdefgh"}).Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("the store is left: %v", err)
	}
	if info, err := os.Lstat(state); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link: %v", err)
	}
}
