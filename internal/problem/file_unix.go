//go:build unix

package problem

import "syscall"

// What the system says of a disk.
var (
	full     = []error{syscall.ENOSPC, syscall.EDQUOT}
	readOnly = []error{syscall.EROFS}
)

const (
	startAgent   = "start one: eval $(ssh-agent)"
	anotherAgent = "start another: eval $(ssh-agent)"
)
