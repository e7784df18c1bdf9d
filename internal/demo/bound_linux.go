package demo

import "syscall"

// serverProcAttr starts the server in a process group of its own. The kernel kills the server when
// the keeper ends (Pdeathsig, prctl(2)).
func serverProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
