package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestIgnoredSignals: a signal that the process was started to ignore (nohup, a job in the background
// of a script) stays ignored; the others are caught.
func TestIgnoredSignals(t *testing.T) {
	if os.Getenv("CSCS_TEST_IGNORED") != "" {
		_, stop := hearInterrupts(t.Context())
		defer stop()
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s", status)
		return
	}
	all := []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM}
	for trap, ignored := range map[string][]syscall.Signal{"": nil, "HUP": {syscall.SIGHUP}, "INT": {syscall.SIGINT}, "HUP INT": {syscall.SIGHUP, syscall.SIGINT}} {
		order := `exec "$0" -test.run='^TestIgnoredSignals$'`
		if trap != "" {
			order = "trap '' " + trap + "; " + order
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", order, os.Args[0])
		cmd.Env = append(os.Environ(), "CSCS_TEST_IGNORED=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			ignores, catches := hasSignal(t, string(out), "SigIgn", s), hasSignal(t, string(out), "SigCgt", s)
			want := false
			for _, i := range ignored {
				want = want || i == s
			}
			if ignores != want || catches == want {
				t.Errorf("started to ignore %q: %v is ignored: %v, is caught: %v", trap, s, ignores, catches)
			}
		}
	}
}

// hasSignal reports whether a mask of /proc/PID/status has the signal (proc_pid_status(5)).
func hasSignal(t *testing.T, status, mask string, s syscall.Signal) bool {
	t.Helper()
	for line := range strings.Lines(status) {
		if name, word, _ := strings.Cut(line, ":"); name == mask {
			bits, err := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return bits&(1<<(s-1)) != 0
		}
	}
	t.Fatalf("there is no %s in %q", mask, status)
	return false
}
