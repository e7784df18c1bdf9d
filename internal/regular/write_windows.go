package regular

import (
	"io/fs"
	"os"
)

// WriteIf writes a file if agree returns nil directly before. Windows cannot replace a file as a
// whole. Its error is agree's, or one of the file system.
func WriteIf(path string, data []byte, mode fs.FileMode, agree func() error) error {
	if err := agree(); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}
