//go:build unix

package demo

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestLinkedParent: the end of the cluster does not remove the user's link to a directory elsewhere.
func TestLinkedParent(t *testing.T) {
	elsewhere, state := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "cscs")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, state); err != nil {
		t.Fatal(err)
	}
	p := Place{Dir: filepath.Join(state, "demo")}
	_, stop, err := p.Serve()
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
		t.Errorf("the place is left: %v", err)
	}
	if info, err := os.Lstat(state); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link: %v", err)
	}
}
