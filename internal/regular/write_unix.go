//go:build !windows

package regular

import (
	"io/fs"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// WriteIf writes a file as Write does, if agree returns nil directly before the new content takes
// the place of the old. Its error is agree's, or one of the file system.
func WriteIf(path string, data []byte, mode fs.FileMode, agree func() error) error {
	// Not in $TMPDIR, as is renameio's default: another user who may rename files there would put
	// a file in the place of the new one.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)),
		renameio.WithPermissions(mode), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
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
