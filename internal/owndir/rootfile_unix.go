//go:build unix

package owndir

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links FindRootFile follows, as the kernel of Linux.
const maxLinks = 40

// FindRootFile resolves the symbolic links in path. It returns a *RootFileError unless root alone can
// change the file: the file, each directory above it and each link on the way belong to root, and no other
// user can write to the files and directories. In a sticky directory only the owner can replace a file.
// Access control lists of macOS and of NFSv4 (FreeBSD on ZFS, some network file systems) are not read.
// Other errors are of the file system: if path does not exist, it does not matter to whom the directories belong.
func FindRootFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	at, rest, links := "/", strings.Split(path, "/"), 0
	for {
		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if reason := describeRisk(info); reason != "" {
			if _, err := os.Lstat(path); err != nil { // a place without a file is no risk
				return "", err
			}
			return "", &RootFileError{Path: at, Reason: reason}
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(at)
			if err != nil {
				return "", err
			}
			if links++; links > maxLinks {
				return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
			}
			rest = append(strings.Split(target, "/"), rest...)
			if at = filepath.Dir(at); filepath.IsAbs(target) {
				at = "/"
			}
			continue
		}
		if len(rest) == 0 {
			return at, nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// describeRisk says why others than root can change what is at a path.
func describeRisk(info fs.FileInfo) string {
	mode := info.Mode()
	switch {
	case ownerID(info) != 0:
		return "belongs to " + describeOwner(info)
	case mode&fs.ModeSymlink != 0: // its own permissions do not count: symlink(7)
		return ""
	case mode.IsDir() && mode&fs.ModeSticky != 0:
		return ""
	case mode.Perm()&0o022 == 0: // the group's bits are also the maximum of a POSIX access control list (acl(5))
		return ""
	}
	return fmt.Sprintf("is writable by others (mode %04o)", mode.Perm())
}
