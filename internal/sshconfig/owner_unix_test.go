//go:build unix

package sshconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// TestAsRoot: with sudo and the user's HOME, nothing of the user's is written, or becomes root's.
func TestAsRoot(t *testing.T) {
	const alice = 54321
	for name, make := range map[string]func(f Files) error{
		"with a configuration": func(f Files) error {
			write(t, f.Config, "Host a\n", 0o600)
			return errors.Join(os.Chown(f.Config, alice, alice), os.Chown(filepath.Dir(f.Config), alice, alice))
		},
		"with nothing": func(Files) error { return nil },
		"with a link": func(f Files) error { // to a file of the user's, from a directory of root's
			own := filepath.Join(filepath.Dir(filepath.Dir(f.Config)), "dotfile")
			write(t, own, "Host a\n", 0o600)
			return errors.Join(os.Mkdir(filepath.Dir(f.Config), 0o700), os.Symlink(own, f.Config), os.Chown(own, alice, alice))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			home := filepath.Dir(filepath.Dir(f.Config))
			if err := errors.Join(make(f), os.Chown(home, alice, alice)); err != nil {
				t.Fatal(err) // root, as scripts/test runs
			}
			before := tree(t, home)
			_, uninstall := f.Uninstall(t.Context())
			_, install := f.Install(t.Context(), text(t))
			for what, err := range map[string]error{
				"install": install, "uninstall": uninstall,
				"put": Known(f.Known).Put(t.Context(), Prefix+"abcdefgh", "nid1", []string{hostKey}, time.Now(), func(string) bool { return true }),
			} {
				if owner := (*owndir.OwnerError)(nil); !errors.As(err, &owner) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if after := tree(t, home); after != before {
				t.Errorf("before: %s, after: %s", before, after)
			}
		})
	}
}

// tree is the names and contents below a directory.
func tree(t *testing.T, dir string) (all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		all += path + "\n"
		if err == nil && d.Type().IsRegular() {
			all += read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
