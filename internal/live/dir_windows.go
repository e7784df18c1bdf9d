package live

import (
	"os"
	"path/filepath"
)

// shortDir is a directory of the user's with a short path.
func shortDir() string { return filepath.Join(os.TempDir(), "cscs") }

// ownDir makes the directory. On Windows what lies below the user's profile is the
// user's alone by inheritance.
func ownDir(dir string) error { return os.MkdirAll(dir, 0o700) }
