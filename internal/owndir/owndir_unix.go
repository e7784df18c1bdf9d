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

// Make creates the directory if needed, and removes the permissions of others if they can only read. It
// refuses what Check refuses. The error is of the file system, or an *Error.
func Make(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := checkNearest(filepath.Dir(dir)); err != nil {
			return err // nothing is made in a directory of another user
		}
	}
	return mkdirOwn(dir)
}

// tries is how often a directory is created if other processes of cscs remove it concurrently because it is empty.
const tries = 100

// mkdirOwn creates a directory and removes the permissions of others. It refuses what Check refuses.
func mkdirOwn(dir string) (err error) {
	for range tries {
		made := os.MkdirAll(dir, 0o700)
		if err = Check(dir); err == nil && made == nil {
			err = closeToOthers(dir)
		}
		if made != nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			err = made
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

func closeToOthers(dir string) error {
	info, err := os.Lstat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(dir, 0o700) //nolint:gosec // a directory
	}
	return err
}

// checkNearest is CheckParent for a directory that may not exist. It checks the nearest ancestor that exists.
func checkNearest(dir string) error {
	for {
		err := CheckParent(dir)
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return err
		}
		dir = parent
	}
}

// Check checks that the directory is the user's alone, and changes nothing. It refuses a symbolic link
// and a directory of another user, who may have created it first in /tmp. It refuses one that others
// can write to, since they may have written its files, and one that others can rename. The error is of
// the file system, or an *Error.
func Check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return &Error{Dir: dir, Reason: "is a symbolic link of " + describeOwner(info)}
	}
	if err := checkOwnDir(dir, info, os.Geteuid()); err != nil {
		return err
	}
	return CheckParent(filepath.Dir(dir))
}

// CheckLinked is Check for a directory that the user may have moved. It follows a symbolic link of the
// user's, in a place where only the user can write.
func CheckLinked(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular() && ownerID(info) == os.Geteuid():
		return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR} // a mistake, not a danger
	case info.Mode()&fs.ModeSymlink == 0:
		return Check(dir)
	}
	parent, err := os.Stat(filepath.Dir(dir))
	if err != nil {
		return err
	}
	if ownerID(info) != os.Geteuid() || parent.Mode().Perm()&0o002 != 0 {
		return &Error{Dir: dir, Reason: "is a symbolic link of " + describeOwner(info)}
	}
	if err := CheckParent(filepath.Dir(dir)); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if info, err = os.Stat(real); err != nil {
		return err
	}
	if err := checkOwnDir(dir, info, os.Geteuid()); err != nil {
		return err
	}
	return CheckParent(filepath.Dir(real))
}

// CheckParent refuses a directory in which others can rename and replace the user's files, directly or
// through a directory above it. Such a directory belongs to another user, or all users or a group can
// write to it and it is not sticky. The user's private group is allowed, unless the directory has an
// access control list. Then the mode does not show who can write.
//
// It stops at a directory of root's and at the user's home directory. A user who controls a directory
// above those controls all of this user's files.
func CheckParent(dir string) error {
	if err := checkUp(dir); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || real == filepath.Clean(dir) {
		return err
	}
	return checkUp(real)
}

// checkUp is CheckParent for one spelling of a path, without resolving symbolic links first.
func checkUp(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	home, homeErr := os.Stat(os.Getenv("HOME"))
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if err := checkShared(dir, info); err != nil {
			return err
		}
		parent := filepath.Dir(dir)
		if parent == dir || ownerID(info) != os.Geteuid() || homeErr == nil && os.SameFile(info, home) {
			return nil
		}
		dir = parent
	}
}

// checkShared refuses a directory in which a user other than root can replace this user's files.
func checkShared(dir string, info fs.FileInfo) error {
	own, mode := ownerID(info) == os.Geteuid(), info.Mode()
	switch {
	case !own && ownerID(info) != 0:
		return &Error{Dir: dir, Reason: "belongs to " + describeOwner(info)}
	case mode&fs.ModeSticky != 0:
		return nil
	case mode.Perm()&0o002 != 0:
		return &Error{Dir: dir, Reason: "is writable by everyone", Open: own}
	case mode.Perm()&0o020 == 0:
		return nil
	case groupID(info) != 0 && !isPrivate(groupID(info)):
		return &Error{Dir: dir, Reason: "is writable by group " + describeGroup(info), Open: own}
	case HasACL(dir):
		return &Error{Dir: dir, Reason: "has an access control list that may let others write", Open: own}
	}
	return nil
}

// checkOwnDir refuses a directory that is not a directory, belongs to another user or is writable by others.
func checkOwnDir(dir string, info fs.FileInfo, self int) error {
	switch {
	case !info.IsDir():
		return &Error{Dir: dir, Reason: "is no directory, and belongs to " + describeOwner(info)}
	case ownerID(info) != self:
		return &Error{Dir: dir, Reason: "belongs to " + describeOwner(info)}
	case info.Mode().Perm()&0o022 != 0:
		return &Error{Dir: dir, Reason: fmt.Sprintf("is writable by others (mode %04o)", info.Mode().Perm()), Open: true}
	}
	return nil
}

// ownerID returns the owner, or -1 if unknown.
func ownerID(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}

// groupID returns the group, or -1 if unknown.
func groupID(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Gid)
}

func describeGroup(info fs.FileInfo) string {
	id := strconv.Itoa(groupID(info))
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name + " (gid " + id + ")"
	}
	return "gid " + id
}

func describeOwner(info fs.FileInfo) string {
	id := strconv.Itoa(ownerID(info))
	if u, err := user.LookupId(id); err == nil {
		return u.Username + " (uid " + id + ")"
	}
	return "uid " + id
}
