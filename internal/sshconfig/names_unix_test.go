//go:build unix

package sshconfig

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// TestHardLinked: a configuration that has another name, a hard link in the user's dotfiles, is not
// replaced under one of them. The line to add or the block to take out is reported.
func TestHardLinked(t *testing.T) {
	for name, c := range map[string]struct {
		before  string // "": there is none
		install bool   // before it has another name
		twice   func(f Files) error
		out     bool
	}{
		"install":             {"Host x\n", false, func(f Files) error { _, err := f.Install(t.Context(), text(t)); return err }, false},
		"uninstall":           {"Host x\n", true, func(f Files) error { _, err := f.Uninstall(t.Context()); return err }, true},
		"uninstall all of it": {"", true, func(f Files) error { _, err := f.Uninstall(t.Context()); return err }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			if c.before != "" {
				write(t, f.Config, c.before, 0o600)
			}
			if c.install {
				if _, err := f.Install(t.Context(), text(t)); err != nil {
					t.Fatal(err)
				}
			}
			was, other := read(t, f.Config), filepath.Join(t.TempDir(), "config")
			if err := os.Link(f.Config, other); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var failed *WriteError
				if err := c.twice(f); !errors.As(err, &failed) || failed.File != f.Config || failed.Out != c.out {
					t.Errorf("got %v", err)
				}
				want := f.includeLine()
				if c.out {
					want = blockBegin + " … " + blockEnd
				}
				if failed.Line != want {
					t.Errorf("the line is %q, want %q", failed.Line, want)
				}
			}
			if !regular.Same(f.Config, other) || read(t, other) != was {
				t.Errorf("the names are of two files; the other has %q, was %q", read(t, other), was)
			}
			if _, err := os.Lstat(f.Part); (err == nil) == c.out {
				t.Errorf("our file: %v", err)
			}
		})
	}
}
