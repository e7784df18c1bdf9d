//go:build unix

package owndir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Make makes the directory, if it is not there, and closes it to others if they could only look
// into it. It refuses what Check refuses. Its errors are of the file system, or *Error.
func Make(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := CheckParent(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // nothing is made in a directory of another user
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		if planted := Check(dir); planted != nil && !errors.Is(planted, fs.ErrNotExist) {
			return planted
		}
		return err
	}
	if err := Check(dir); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(dir, 0o700)
	}
	return err
}

// Check reports whether the directory is the user's alone. It refuses one of another user, which below
// /tmp may have been made first, a symbolic link, one that others can write to (what is in it
// may be theirs), and one that others can rename. It changes nothing. Its errors are of the
// file system, or *Error.
func Check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return &Error{Dir: dir, Reason: "is a symbolic link of " + owner(info)}
	}
	if err := check(dir, info, os.Geteuid()); err != nil {
		return err
	}
	return CheckParent(filepath.Dir(dir))
}

// CheckLinked is Check for a directory that the user may have moved elsewhere: a
// symbolic link of the user's, in a place where only the user can write, is followed.
func CheckLinked(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular() && uid(info) == os.Geteuid():
		return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR} // a mistake, and no danger
	case info.Mode()&fs.ModeSymlink == 0:
		return Check(dir)
	}
	parent, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return err
	}
	if uid(info) != os.Geteuid() || parent.Mode().Perm()&0o002 != 0 {
		return &Error{Dir: dir, Reason: "is a symbolic link of " + owner(info)}
	}
	if info, err = os.Stat(dir); err != nil {
		return err
	}
	return check(dir, info, os.Geteuid())
}

// CheckParent refuses a directory in which others can rename and replace what is the user's: one of
// a user other than root, or one that all can write to without the sticky bit.
func CheckParent(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky != 0 {
		if u := uid(info); u == 0 || u == os.Geteuid() {
			return nil
		}
	}
	if info.Mode().Perm()&0o002 != 0 {
		return &Error{Dir: dir, Reason: "is writable by everyone", Open: uid(info) == os.Geteuid()}
	}
	if u := uid(info); u != 0 && u != os.Geteuid() {
		return &Error{Dir: dir, Reason: "belongs to " + owner(info)}
	}
	return nil
}

func check(dir string, info fs.FileInfo, self int) error {
	switch {
	case !info.IsDir():
		return &Error{Dir: dir, Reason: "is no directory, and belongs to " + owner(info)}
	case uid(info) != self:
		return &Error{Dir: dir, Reason: "belongs to " + owner(info)}
	case info.Mode().Perm()&0o022 != 0:
		return &Error{Dir: dir, Reason: fmt.Sprintf("is writable by others (mode %04o)", info.Mode().Perm()), Open: true}
	}
	return nil
}

// uid is the owner; -1: unknown.
func uid(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}

func owner(info fs.FileInfo) string {
	id := strconv.Itoa(uid(info))
	if u, err := user.LookupId(id); err == nil {
		return u.Username + " (uid " + id + ")"
	}
	return "uid " + id
}
