package demo

import "syscall"

// bound gives the server a process group of its own, and its end if the keeper is killed.
func bound() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
