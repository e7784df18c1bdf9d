//go:build linux || darwin

package sshtest

import (
	"os"
	"syscall"
	"testing"
)

// StopProcess stops a child process of the test's and returns when it has stopped: the signal alone
// takes its time (wait(2), WUNTRACED).
func StopProcess(t testing.TB, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(p.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("stop process %d: %v, status %#x", p.Pid, err, status)
	}
}
