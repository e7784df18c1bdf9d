//go:build unix

package owndir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckOwner refuses to let root write to dir if dir belongs to another user. If dir does not
// exist, its nearest ancestor that exists counts. Files that another user makes belong to that
// user wherever they are, so only root is refused. Its errors are of the file system, or
// *OwnerError.
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
