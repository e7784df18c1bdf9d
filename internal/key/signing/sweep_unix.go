//go:build unix

package signing

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn reports whether the file is a regular file of this user.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid()
}

// hasOneName reports whether a file has no other name (hard link).
func hasOneName(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 1
}

// openForErase opens a file for writing. It follows no symbolic link and does not block on a FIFO.
func openForErase(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
