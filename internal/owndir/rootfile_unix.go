//go:build unix

package owndir

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"al.essio.dev/pkg/shellescape"
)

// FindRootFile resolves the symbolic links in path. It returns a *RootFileError unless root alone can
// change the file: the file and each directory above it belong to root, and no other user can write to
// them. In a sticky directory only the owner can replace a file. Other errors are of the file system.
func FindRootFile(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if real, err = filepath.Abs(real); err != nil {
		return "", err
	}
	for at := real; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if reason := describeRisk(info); reason != "" {
			return "", &RootFileError{Path: at, Reason: reason}
		}
		if at == filepath.Dir(at) {
			return real, nil
		}
	}
}

// describeRisk says why others than root can change the file or the directory's entries, or returns "".
func describeRisk(info fs.FileInfo) string {
	mode := info.Mode()
	switch {
	case ownerID(info) != 0:
		return "belongs to " + describeOwner(info)
	case mode.IsDir() && mode&fs.ModeSticky != 0:
		return ""
	case mode.Perm()&0o022 == 0: // the group's bits are also the maximum of an access control list (acl(5))
		return ""
	}
	return fmt.Sprintf("is writable by others (mode %04o)", mode.Perm())
}

// Fix returns the command that gives the file to root alone.
func (e *RootFileError) Fix() string {
	return fmt.Sprintf("sudo chown root %[1]s && sudo chmod go-w %[1]s", shellescape.Quote(e.Path))
}
