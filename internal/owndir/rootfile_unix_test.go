//go:build unix

package owndir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFindRootFile: a file counts only if root alone can change it, in each directory and link on the way. The
// command of a refusal repairs the permissions of the file and its directory, and gives root nothing that another
// user has written.
func TestFindRootFile(t *testing.T) {
	move := func(dir, target string) error { // the file becomes a link
		return errors.Join(os.Rename(dir+"/cscs/config.toml", dir+"/else"), os.Symlink(target, dir+"/cscs/config.toml"))
	}
	for name, c := range map[string]struct {
		change func(dir string) error // of dir/cscs/config.toml
		at     string                 // that is refused, below dir; "": nothing
		reason string
		fix    bool
	}{
		"root's":                {change: func(string) error { return nil }},
		"writable by all":       {func(dir string) error { return os.Chmod(dir+"/cscs/config.toml", 0o646) }, "cscs/config.toml", "is writable by others (mode 0646)", true},
		"writable by a group":   {func(dir string) error { return os.Chmod(dir+"/cscs/config.toml", 0o664) }, "cscs/config.toml", "is writable by others (mode 0664)", true},
		"another user's":        {func(dir string) error { return os.Chown(dir+"/cscs/config.toml", nobody, 0) }, "cscs/config.toml", "belongs to ", false},
		"in another user's":     {func(dir string) error { return os.Chown(dir+"/cscs", nobody, 0) }, "cscs", "belongs to ", false},
		"in a directory of all": {func(dir string) error { return os.Chmod(dir+"/cscs", 0o777) }, "cscs", "is writable by others (mode 0777)", true},
		"below such a one":      {func(dir string) error { return os.Chmod(dir, 0o777) }, ".", "is writable by others", false},
		"in a place like /tmp":  {change: func(dir string) error { return os.Chmod(dir+"/cscs", 0o777|fs.ModeSticky) }},
		"a link to root's":      {change: func(dir string) error { return move(dir, "../else") }},
		"a link by its path":    {change: func(dir string) error { return move(dir, dir+"/else") }},
		"a link to another user's": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chown(dir+"/else", nobody, 0))
		}, "else", "belongs to ", false},
		"a link to a file for all": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chmod(dir+"/else", 0o666))
		}, "else", "is writable by others", false},
		"another user's link to root's": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Lchown(dir+"/cscs/config.toml", nobody, 0))
		}, "cscs/config.toml", "belongs to ", false},
		"a link in another user's directory": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chown(dir+"/cscs", nobody, 0))
		}, "cscs", "belongs to ", false},
		"a link in a directory of all": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chmod(dir+"/cscs", 0o777))
		}, "cscs", "is writable by others", true},
		"a linked directory": {change: func(dir string) error {
			return errors.Join(os.Rename(dir+"/cscs", dir+"/other"), os.Symlink("other", dir+"/cscs"))
		}},
		"a directory that another user links": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/cscs", dir+"/other"), os.Symlink("other", dir+"/cscs"), os.Lchown(dir+"/cscs", nobody, 0))
		}, "cscs", "belongs to ", false},
		"a link to a link in another user's directory": {func(dir string) error {
			return errors.Join(move(dir, "../sub/link"), os.Mkdir(dir+"/sub", 0o755), os.Symlink("../else", dir+"/sub/link"), os.Chown(dir+"/sub", nobody, 0))
		}, "sub", "belongs to ", false},
	} {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		file := filepath.Join(dir, "cscs", "config.toml")
		if err := errors.Join(err, os.Chmod(dir, 0o755), os.Mkdir(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644), c.change(dir)); err != nil {
			t.Fatal(err) // root, as scripts/test runs
		}
		found, err := FindRootFile(file)
		var e *RootFileError
		switch {
		case c.at == "" && err == nil:
			if want, _ := filepath.EvalSymlinks(file); found != want {
				t.Errorf("%s: %s, want %s", name, found, want)
			}
		case c.at == "" || !errors.As(err, &e) || e.Path != filepath.Join(dir, c.at) || !strings.HasPrefix(e.Reason, c.reason):
			t.Errorf("%s: %v", name, err)
		case c.fix && e.Fix != "sudo chmod go-w "+e.Path, !c.fix && e.Fix != "":
			t.Errorf("%s: %q", name, e.Fix)
		}
	}
}

// TestFindNoRootFile: a file that does not exist, and links without an end, are errors of the file system.
func TestFindNoRootFile(t *testing.T) {
	if _, err := FindRootFile("/nonexistent/config.toml"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink("b", dir+"/a"), os.Symlink("a", dir+"/b")); err != nil {
		t.Fatal(err)
	}
	if _, err := FindRootFile(dir + "/a"); !errors.Is(err, syscall.ELOOP) {
		t.Error(err)
	}
}
