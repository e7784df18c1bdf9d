//go:build unix

package demo

import (
	"fmt"
	"os"
	"syscall"
)

// removeHeld: a file that is locked, and so open, can be removed.
const removeHeld = true

// checkOwn refuses a directory that is not the user's alone.
func checkOwn(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a directory of yours alone", dir)
	}
	return nil
}
