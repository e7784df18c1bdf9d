//go:build !windows

package problem

import "syscall"

var (
	refused     = []error{syscall.ECONNREFUSED}
	unreachable = []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL}
	reset       = []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}
)
