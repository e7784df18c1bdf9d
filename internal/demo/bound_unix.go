//go:build unix && !linux

package demo

import "syscall"

// bound gives the server a process group of its own.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
