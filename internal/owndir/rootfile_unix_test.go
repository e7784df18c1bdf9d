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

// TestFindRootFile: a file counts only if root alone can change it, in each directory and link on the way.
func TestFindRootFile(t *testing.T) {
	move := func(dir, target string) error { // the file becomes a link
		return errors.Join(os.Rename(dir+"/cscs/config.toml", dir+"/else"), os.Symlink(target, dir+"/cscs/config.toml"))
	}
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
		"a link to root's":      {change: func(dir string) error { return move(dir, "../else") }},
		"a link by its path":    {change: func(dir string) error { return move(dir, dir+"/else") }},
		"a link to another user's": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chown(dir+"/else", nobody, 0))
		}, "else", "belongs to "},
		"a link to a file for all": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chmod(dir+"/else", 0o666))
		}, "else", "is writable by others"},
		"another user's link to root's": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Lchown(dir+"/cscs/config.toml", nobody, 0))
		}, "cscs/config.toml", "belongs to "},
		"a link in another user's directory": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chown(dir+"/cscs", nobody, 0))
		}, "cscs", "belongs to "},
		"a link in a directory of all": {func(dir string) error {
			return errors.Join(move(dir, "../else"), os.Chmod(dir+"/cscs", 0o777))
		}, "cscs", "is writable by others"},
		"a linked directory": {change: func(dir string) error {
			return errors.Join(os.Rename(dir+"/cscs", dir+"/other"), os.Symlink("other", dir+"/cscs"))
		}},
		"a directory that another user links": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/cscs", dir+"/other"), os.Symlink("other", dir+"/cscs"), os.Lchown(dir+"/cscs", nobody, 0))
		}, "cscs", "belongs to "},
		"a link to a link in another user's directory": {func(dir string) error {
			return errors.Join(move(dir, "../sub/link"), os.Mkdir(dir+"/sub", 0o755), os.Symlink("../else", dir+"/sub/link"), os.Chown(dir+"/sub", nobody, 0))
		}, "sub", "belongs to "},
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
		}
	}
}

// TestFindNoRootFile: a file that does not exist, and links without an end, are errors of the file system. Where there
// is no file, it does not matter to whom the directories belong: in a user namespace, / may belong to nobody.
func TestFindNoRootFile(t *testing.T) {
	if _, err := FindRootFile("/nonexistent/config.toml"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/theirs", 0o777), os.WriteFile(dir+"/theirs/file", nil, 0o644), os.Chown(dir+"/theirs", nobody, 0)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"theirs/config.toml": fs.ErrNotExist, "theirs/cscs/config.toml": fs.ErrNotExist, "theirs/file/config.toml": syscall.ENOTDIR} {
		if _, err := FindRootFile(filepath.Join(dir, path)); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink("b", dir+"/a"), os.Symlink("a", dir+"/b")); err != nil {
		t.Fatal(err)
	}
	if _, err := FindRootFile(dir + "/a"); !errors.Is(err, syscall.ELOOP) {
		t.Error(err)
	}
}
