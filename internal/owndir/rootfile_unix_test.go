//go:build unix

package owndir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindRootFile: a file counts only if root alone can change it, in each directory above it.
func TestFindRootFile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error // of dir/cscs/config.toml
		at     string                 // that is refused, below dir; "": nothing
		reason string
	}{
		"root's":                {change: func(string) error { return nil }},
		"writable by all":       {func(dir string) error { return os.Chmod(dir+"/cscs/config.toml", 0o646) }, "cscs/config.toml", "is writable by others (mode 0646)"},
		"writable by a group":   {func(dir string) error { return os.Chmod(dir+"/cscs/config.toml", 0o664) }, "cscs/config.toml", "is writable by others (mode 0664)"},
		"another user's":        {func(dir string) error { return os.Chown(dir+"/cscs/config.toml", nobody, 0) }, "cscs/config.toml", "belongs to "},
		"in another user's":     {func(dir string) error { return os.Chown(dir+"/cscs", nobody, 0) }, "cscs", "belongs to "},
		"in a directory of all": {func(dir string) error { return os.Chmod(dir+"/cscs", 0o777) }, "cscs", "is writable by others (mode 0777)"},
		"below such a one":      {func(dir string) error { return os.Chmod(dir, 0o777) }, ".", "is writable by others"},
		"in a place like /tmp":  {change: func(dir string) error { return os.Chmod(dir+"/cscs", 0o777|fs.ModeSticky) }},
		"a link to another user's": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/cscs/config.toml", dir+"/cscs/else"), os.Symlink("else", dir+"/cscs/config.toml"), os.Chown(dir+"/cscs/else", nobody, 0))
		}, "cscs/else", "belongs to "},
		"a link to root's": {change: func(dir string) error {
			return errors.Join(os.Rename(dir+"/cscs/config.toml", dir+"/else"), os.Symlink("../else", dir+"/cscs/config.toml"))
		}},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "cscs", "config.toml")
		if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644), c.change(dir)); err != nil {
			t.Fatal(err) // root, as scripts/test runs
		}
		real, err := FindRootFile(file)
		var e *RootFileError
		switch {
		case c.at == "" && err == nil:
			if want, _ := filepath.EvalSymlinks(file); real != want {
				t.Errorf("%s: %s, want %s", name, real, want)
			}
		case c.at == "" || !errors.As(err, &e) || e.Path != filepath.Join(dir, c.at) || !strings.HasPrefix(e.Reason, c.reason):
			t.Errorf("%s: %v", name, err)
		case e.Fix() != "sudo chown root "+e.Path+" && sudo chmod go-w "+e.Path:
			t.Errorf("%s: %s", name, e.Fix())
		}
	}
	if _, err := FindRootFile("/nonexistent/config.toml"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
