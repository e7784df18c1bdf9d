//go:build unix

package owndir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCheckOwner: root is refused where files would become root's in a directory of another user.
func TestCheckOwner(t *testing.T) {
	for name, c := range map[string]struct {
		owner  int
		dir    func(dir string) string
		refuse bool
	}{
		"own":                  {os.Geteuid(), func(dir string) string { return dir }, false},
		"below own, not there": {os.Geteuid(), func(dir string) string { return filepath.Join(dir, "a", "b") }, false},
		"another user's":       {nobody, func(dir string) string { return dir }, true},
		"below another user's": {nobody, func(dir string) string { return filepath.Join(dir, "a", "b") }, true},
		"behind a link to another user's": {nobody, func(dir string) string {
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(link, "a")
		}, true},
	} {
		dir := t.TempDir()
		if err := os.Chown(dir, c.owner, c.owner); err != nil {
			t.Fatal(err) // root, as scripts/test runs
		}
		var owner *OwnerError
		if err := CheckOwner(c.dir(dir)); errors.As(err, &owner) != c.refuse || err != nil && !c.refuse {
			t.Errorf("%s: %v; want it refused: %v", name, err, c.refuse)
		}
	}
}
