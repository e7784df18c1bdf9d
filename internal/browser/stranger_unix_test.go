//go:build unix

package browser

import (
	"errors"
	"os"
	"testing"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// TestHideInForeignPlace: the link is not put where another user could put another in its place.
func TestHideInForeignPlace(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	if at, _, err := writeLinkFile("http://127.0.0.1:1/secret"); !errors.Is(err, owndir.ErrShared) {
		t.Errorf("%s, %v", at, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
