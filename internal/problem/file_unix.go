//go:build unix

package problem

import (
	"io/fs"
	"os"
	"syscall"
)

// isMine reports whether this user owns a file, or is root, and so may chmod it.
func isMine(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(s.Uid) == os.Geteuid() || os.Geteuid() == 0
}

// Errors of the kernel about a disk.
var (
	full     = []error{syscall.ENOSPC, syscall.EDQUOT}
	readOnly = []error{syscall.EROFS}
)

const (
	startAgent   = "start one: eval $(ssh-agent)"
	anotherAgent = "start another: eval $(ssh-agent)"
)
