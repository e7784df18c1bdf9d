//go:build !windows

package regular

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// CheckNames returns a *NamesError for a file with several names.
func CheckNames(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // there is none, or the next step fails for the same reason
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return &NamesError{Names: uint64(st.Nlink)} //nolint:unconvert // its type depends on the system
	}
	return nil
}

// replaceFile writes a file beside the one at path and renames it, if agree returns nil directly
// before. With keep, it copies the attributes of the old file.
func replaceFile(path string, data []byte, mode fs.FileMode, keep bool, agree func() error) error {
	// Not in $TMPDIR, renameio's default: a user who may rename files there could replace the new file.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithPermissions(mode), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if keep { // before the content: with the permissions alone, others may read it
		if err := copyAttributes(f.File, path); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // slow, and agree must answer directly before the rename
		return err
	}
	if err := agree(); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// copyAttributes gives f the owner, group, access control list and extended attributes of the file
// at path, if that exists.
func copyAttributes(f *os.File, path string) error {
	old, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	now, nowErr := f.Stat()
	if err := errors.Join(err, nowErr); err != nil {
		return err
	}
	from, to := old.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
	if from.Uid != to.Uid || from.Gid != to.Gid {
		if err := f.Chown(int(from.Uid), int(from.Gid)); err != nil {
			return fmt.Errorf("keep its owner and group: %w", Reason(err))
		}
	}
	return copyExtended(f, path)
}
