//go:build unix

package live

import (
	"fmt"
	"os"
	"path/filepath"
)

// shortDir is a directory of the user's with a short path.
func shortDir() string { return filepath.Join("/tmp", fmt.Sprintf("cscs-%d", os.Getuid())) }
