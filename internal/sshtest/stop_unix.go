//go:build linux || darwin

package sshtest

import (
	"os"
	"syscall"
	"testing"
)

// StopProcess stops a child process of the test and returns when it has stopped. The signal takes
// effect with a delay, so StopProcess waits with WUNTRACED (wait(2)).
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
