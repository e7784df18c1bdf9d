package registry

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// shortDir returns a directory of the user with a short path.
func shortDir() string { return filepath.Join(os.TempDir(), "cscs") }

// mayBeInRemoval reports whether an error of opening or making something may come from another process that
// removes it at this moment.
func mayBeInRemoval(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}
