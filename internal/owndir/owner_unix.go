//go:build unix

package owndir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckOwner returns an *OwnerError if this process is root's and dir belongs to another user. If dir
// does not exist, its nearest ancestor that exists counts. Only root is refused, because files of any
// other user belong to that user everywhere. Other errors are of the file system.
func CheckOwner(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for {
		info, err := os.Stat(dir)
		switch parent := filepath.Dir(dir); {
		case errors.Is(err, fs.ErrNotExist) && parent != dir:
			dir = parent
			continue
		case err != nil:
			return err
		case ownerID(info) != 0:
			return &OwnerError{Dir: dir, Owner: describeOwner(info)}
		}
		return nil
	}
}
