package demo

import "syscall"

// serverProcAttr gives the server a process group of its own, and its end if the keeper is killed.
func serverProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
