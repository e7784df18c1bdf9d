package demo

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// awaitDone waits for the end of a server.
func awaitDone(t *testing.T, p *process) {
	t.Helper()
	waittest.Receive(t, 30*time.Second, "the end of the server", p.done)
}

// TestKeeperSweeps: what a server has started ends with it, before its number can be given to another
// process.
func TestKeeperSweeps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	p, err := startProcess([]string{"/bin/sh", "-c", "sleep 1000 & echo $! >" + file + "; exit 3"}, os.Environ(), t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	awaitDone(t, p)
	if p.code != 3 {
		t.Errorf("status %d", p.code)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(string(b))
	defer func() {
		if n, err := strconv.Atoi(pid); err == nil && lives(pid) {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}()
	waittest.Until(t, 10*time.Second, "the end of process "+pid+" of the server", func() bool { return !lives(pid) })
}

// lives reports whether a process is there, and has not ended (proc_pid_stat(5)).
func lives(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
}

// TestSweepAfterTheEnd: a process that has got the number of a server that has ended is not signalled.
func TestSweepAfterTheEnd(t *testing.T) {
	p, err := startProcess([]string{"/bin/true"}, os.Environ(), t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	awaitDone(t, p)
	other := exec.CommandContext(t.Context(), "/bin/cat")
	other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = other.Process.Pid // as if the system had given it to that
	p.terminate()
	p.killRemaining()
	_ = in.Close()
	if err := other.Wait(); err != nil {
		t.Errorf("another process ended with %v", err)
	}
}

// TestKeeperTerminates: a server is asked to end, and one that does not is killed.
func TestKeeperTerminates(t *testing.T) {
	for _, hard := range []bool{false, true} {
		out, in := io.Pipe()
		p, err := startProcess([]string{"/bin/sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done"}, os.Environ(), t.TempDir(), in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
		want := 4
		if hard {
			want = 128 + int(syscall.SIGKILL)
			p.killRemaining()
		} else {
			p.terminate()
		}
		awaitDone(t, p)
		_ = in.Close()
		if p.code != want {
			t.Errorf("hard %v: status %d, want %d", hard, p.code, want)
		}
	}
}
