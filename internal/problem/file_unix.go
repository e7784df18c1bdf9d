//go:build unix

package problem

import (
	"io/fs"
	"os"
	"syscall"
)

// mine reports whether a file is this user's, whose chmod it heeds.
func mine(info fs.FileInfo) bool {
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
