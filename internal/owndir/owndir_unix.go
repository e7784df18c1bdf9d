//go:build unix

package owndir

import (
	"fmt"
	"os"
	"syscall"
)

// Make makes the directory, if it is not there, and sees to it that it is the user's alone.
// It refuses one that is somebody else's, which below /tmp may have been made first, or a link,
// and one that others could write to: what is in it may be theirs. One that others
// could only look into is closed to them. Its errors are of the file system, or wrap ErrShared.
func Make(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: %w", dir, ErrShared)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}
