//go:build unix

package owndir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
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
			return os.Chown(dir, nobody, nobody) // root, as scripts/test runs
		}, refuse: true},
		"a link to nothing": {before: func(dir string) error { return os.Symlink(dir+"-else", dir) }, refuse: true},
		"a FIFO":            {before: func(dir string) error { return syscall.Mkfifo(dir, 0o600) }, refuse: true},
		"a file":            {before: func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, refuse: true},
		"in another user's": {before: func(dir string) error { return os.Chown(filepath.Dir(dir), nobody, nobody) }, refuse: true},
		"there, in another user's": {before: func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Chown(filepath.Dir(dir), nobody, nobody))
		}, refuse: true},
		"where all may rename": {before: func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) }, refuse: true},
		"in a place like /tmp": {before: func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky) }},
		"in another user's place like /tmp": {before: func(dir string) error {
			return errors.Join(os.Chown(filepath.Dir(dir), nobody, nobody), os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky))
		}, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cscs")
			if err := c.before(dir); err != nil {
				t.Fatal(err)
			}
			before := list(t, filepath.Dir(dir))
			if Check(dir) == nil && c.refuse {
				t.Error("the check lets it pass")
			}
			err := Make(dir)
			if after := list(t, filepath.Dir(dir)); c.refuse && after != before {
				t.Errorf("before %s, after %s", before, after)
			}
			if errors.Is(err, ErrShared) != c.refuse || err != nil && !c.refuse {
				t.Fatalf("refused: %v; want it refused: %v", err, c.refuse)
			}
			if info, err := os.Stat(dir); !c.refuse && (err != nil || info.Mode().Perm() != 0o700) {
				t.Errorf("it is %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestCheckLinked: a link of the user's is followed where only the user can make one.
func TestCheckLinked(t *testing.T) {
	for name, c := range map[string]struct {
		before func(dir, target string) error
		refuse bool
	}{
		"a directory": {before: func(dir, _ string) error { return os.Mkdir(dir, 0o700) }},
		"a link":      {before: func(dir, target string) error { return os.Symlink(target, dir) }},
		"another user's link": {before: func(dir, target string) error {
			return errors.Join(os.Symlink(target, dir), os.Lchown(dir, nobody, nobody))
		}, refuse: true},
		"a link to another user's": {before: func(dir, target string) error {
			return errors.Join(os.Symlink(target, dir), os.Chown(target, nobody, nobody))
		}, refuse: true},
		"a link where others write": {before: func(dir, target string) error {
			return errors.Join(os.Symlink(target, dir), os.Chmod(filepath.Dir(dir), 0o777|os.ModeSticky))
		}, refuse: true},
		"a link to one for all":    {before: func(dir, target string) error { return errors.Join(os.Symlink(target, dir), os.Chmod(target, 0o777)) }, refuse: true},
		"another user's directory": {before: func(dir, _ string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)) }, refuse: true},
		"another user's file": {before: func(dir, _ string) error {
			return errors.Join(os.WriteFile(dir, nil, 0o600), os.Chown(dir, nobody, nobody))
		}, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, target := filepath.Join(t.TempDir(), "cscs"), filepath.Join(t.TempDir(), "target")
			if err := errors.Join(os.Mkdir(target, 0o700), c.before(dir, target)); err != nil {
				t.Fatal(err)
			}
			if err := CheckLinked(dir); errors.Is(err, ErrShared) != c.refuse || err != nil && !c.refuse {
				t.Errorf("refused: %v; want it refused: %v", err, c.refuse)
			}
		})
	}
}

// list is what is in a directory, with owners and modes.
func list(t *testing.T, dir string) (s string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := os.Lstat(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		s += fmt.Sprintf("%s %v of %s; ", e.Name(), info.Mode(), describeOwner(info))
	}
	return s
}

const nobody = 65534

func mkdir(dir string, mode os.FileMode) error {
	if err := os.Mkdir(dir, mode); err != nil {
		return err
	}
	return os.Chmod(dir, mode) // whatever the umask
}

// TestGroupWritable: no member of a group can swap a directory of the user's, nor one above it;
// the group that has the user alone is no danger (umask 002).
func TestGroupWritable(t *testing.T) {
	const group = 54321
	chmod := func(dir string, gid int, mode os.FileMode) error {
		return errors.Join(os.Chown(dir, -1, gid), os.Chmod(dir, mode))
	}
	for name, c := range map[string]struct {
		change func(top, mid string) error
		refuse bool
	}{
		"the parent":               {func(_, mid string) error { return chmod(mid, group, 0o775) }, true},
		"the parent of the parent": {func(top, _ string) error { return chmod(top, group, 0o775) }, true},
		"the user's own group": {func(top, mid string) error {
			return errors.Join(chmod(top, os.Getgid(), 0o775), chmod(mid, os.Getgid(), 0o775))
		}, false},
		"a place like /tmp":    {func(top, _ string) error { return chmod(top, group, 0o775|os.ModeSticky) }, false},
		"another user's above": {func(top, _ string) error { return os.Chown(top, nobody, nobody) }, true},
		"for all, above":       {func(top, _ string) error { return os.Chmod(top, 0o777) }, true},
		"readable by a group":  {func(top, _ string) error { return chmod(top, group, 0o755) }, false},
		"another user's home is that": {func(top, _ string) error {
			return errors.Join(os.Chown(top, nobody, nobody), setenv("HOME", top+"/mid"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) { checkBelow(t, c.change, c.refuse) })
	}
}

// checkBelow changes two directories, of which top is above mid, and checks that what is in mid is
// refused or not.
func checkBelow(t *testing.T, change func(top, mid string) error, refuse bool) {
	t.Helper()
	t.Setenv("HOME", "/nonexistent")
	top := filepath.Join(t.TempDir(), "top")
	mid := filepath.Join(top, "mid")
	dir, target, link := filepath.Join(mid, "cscs"), filepath.Join(mid, "target"), filepath.Join(mid, "link")
	elsewhere := filepath.Join(t.TempDir(), "link")
	for _, err := range []error{os.MkdirAll(target, 0o700), os.Symlink(target, link), os.Symlink(target, elsewhere), change(top, mid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"make": Make(dir), "make below": Make(filepath.Join(mid, "a", "b")), "check": Check(target), "check parent": CheckParent(mid),
		"check linked": CheckLinked(target), "check a link": CheckLinked(link), "check a link to there": CheckLinked(elsewhere),
		"check a linked parent": CheckParent(elsewhere),
	} {
		if errors.Is(err, ErrShared) != refuse || err != nil && !refuse {
			t.Errorf("%s: refused: %v; want it refused: %v", what, err, refuse)
		}
	}
	for _, made := range []string{dir, filepath.Join(mid, "a")} {
		if _, err := os.Lstat(made); refuse && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made: %v", made, err)
		}
	}
}

func setenv(name, value string) error { return os.Setenv(name, value) } // t.Setenv restores it
