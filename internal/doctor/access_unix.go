//go:build unix

package doctor

import "golang.org/x/sys/unix"

// mayWrite checks whether this process may create a file in a directory, without creating one.
func mayWrite(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
