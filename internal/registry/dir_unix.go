//go:build unix

package registry

import (
	"fmt"
	"os"
	"path/filepath"
)

// temporary contains directories with short paths. Other users can write there.
var temporary = "/tmp"

// shortDir returns a directory of the user with a short path.
func shortDir() string { return filepath.Join(temporary, fmt.Sprintf("cscs-%d", os.Getuid())) }

// mayBeInRemoval returns false: there is no error for what another process removes at this moment.
func mayBeInRemoval(error) bool { return false }
