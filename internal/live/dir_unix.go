//go:build unix

package live

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// shortDir is a directory of the user's with a short path.
func shortDir() string { return filepath.Join("/tmp", fmt.Sprintf("cscs-%d", os.Getuid())) }

// ownDir makes the directory the user's alone, and refuses one that is not the user's:
// below /tmp, somebody else may have made it first.
func ownDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a place for the control socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("make a place for the control socket: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("make a place for the control socket: %s is not a directory of yours", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}
