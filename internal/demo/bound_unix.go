//go:build unix && !linux

package demo

import "syscall"

// serverProcAttr gives the server a process group of its own.
func serverProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
