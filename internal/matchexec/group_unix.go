//go:build unix

package matchexec

import (
	"os/exec"
	"syscall"
)

// endWithGroup makes the command the leader of a process group. When its context ends, the whole group
// is killed, since a shell's commands outlive the shell.
func endWithGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
