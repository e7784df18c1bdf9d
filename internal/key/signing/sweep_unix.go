//go:build unix

package signing

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn reports whether it is a regular file of this user.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(stat.Uid) == os.Geteuid()
}

// links is how many names a file has; 0: unknown.
func links(info fs.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(stat.Nlink)
}

// openForErase follows no link and waits for no FIFO.
func openForErase(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
