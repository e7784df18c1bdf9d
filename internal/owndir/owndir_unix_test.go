//go:build unix

package owndir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestMake(t *testing.T) {
	for name, c := range map[string]struct {
		before func(dir string) error
		refuse bool
	}{
		"not there":          {before: func(string) error { return nil }},
		"there":              {before: func(dir string) error { return os.Mkdir(dir, 0o700) }},
		"readable by others": {before: func(dir string) error { return mkdir(dir, 0o755) }},
		"writable by others": {before: func(dir string) error { return mkdir(dir, 0o770) }, refuse: true},
		"a link":             {before: func(dir string) error { return os.Symlink(filepath.Dir(dir), dir) }, refuse: true},
		"another user's": {before: func(dir string) error {
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.Chown(dir, 65534, 65534) // root, as scripts/test runs
		}, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cscs")
			if err := c.before(dir); err != nil {
				t.Fatal(err)
			}
			err := Make(dir)
			if errors.Is(err, ErrShared) != c.refuse || err != nil && !c.refuse {
				t.Fatalf("refused: %v; want it refused: %v", err, c.refuse)
			}
			if info, err := os.Stat(dir); !c.refuse && (err != nil || info.Mode().Perm() != 0o700) {
				t.Errorf("it is %v, %v", info.Mode(), err)
			}
		})
	}
}

func mkdir(dir string, mode os.FileMode) error {
	if err := os.Mkdir(dir, mode); err != nil {
		return err
	}
	return os.Chmod(dir, mode) // whatever the umask
}
