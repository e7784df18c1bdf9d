package registry

import (
	"os"
	"path/filepath"
)

// shortDir returns a directory of the user with a short path.
func shortDir() string { return filepath.Join(os.TempDir(), "cscs") }
