//go:build unix

package problem

import (
	"io/fs"
	"os"
	"syscall"
)

// isMine reports whether a file is this user's, whose chmod it heeds.
func isMine(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(s.Uid) == os.Geteuid() || os.Geteuid() == 0
}

// What the system says of a disk.
var (
	full     = []error{syscall.ENOSPC, syscall.EDQUOT}
	readOnly = []error{syscall.EROFS}
)

const (
	startAgent   = "start one: eval $(ssh-agent)"
	anotherAgent = "start another: eval $(ssh-agent)"
)
