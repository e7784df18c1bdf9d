//go:build unix

package live

import (
	"fmt"
	"os"
	"path/filepath"
)

// temporary is where short paths are. Others can write there.
var temporary = "/tmp"

// shortDir is a directory of the user's with a short path.
func shortDir() string { return filepath.Join(temporary, fmt.Sprintf("cscs-%d", os.Getuid())) }
