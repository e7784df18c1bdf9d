//go:build unix

package doctor

import "golang.org/x/sys/unix"

// mayWrite asks whether we can put a file into a directory, without doing so.
func mayWrite(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
