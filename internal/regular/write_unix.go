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

// CheckNames refuses a file that has more than one name, with a *NamesError.
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

// replaceFile writes a file beside the one at path, and renames it if agree returns nil directly before.
// keep gives it what the old one has beside its content.
func replaceFile(path string, data []byte, mode fs.FileMode, keep bool, agree func() error) error {
	// Not in $TMPDIR, as is renameio's default: another user who may rename files there would put
	// a file in the place of the new one.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithPermissions(mode), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if keep { // before there is any content: the permissions alone may let others read it
		if err := copyAttributes(f.File, path); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // it takes long, and agree's answer must be fresh
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
