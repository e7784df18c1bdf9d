package live

import (
	"os"
	"path/filepath"
)

// shortDir is a directory of the user's with a short path.
func shortDir() string { return filepath.Join(os.TempDir(), "cscs") }
