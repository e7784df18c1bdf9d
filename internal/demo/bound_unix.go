//go:build unix && !linux

package demo

import "syscall"

// serverProcAttr starts the server in a process group of its own.
func serverProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
