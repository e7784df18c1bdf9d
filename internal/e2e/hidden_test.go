//go:build lab

package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Slurm's commands leave out the jobs of a hidden partition, those of their owner too. What cannot be
// seen must not be taken for gone (invariant I3).
var onHidden = []string{"--partition", "hidden", "--time", "10"}

func TestHiddenPartition(t *testing.T) {
	t.Run("interrupted-in-the-queue", func(t *testing.T) {
		begin(t)
		s := serve(t, append([]string{"--slurm=--begin=now+1hour"}, onHidden...))
		s.wait("queued")
		s.signal(syscall.SIGINT)
		s.end(130)
		if left := aliceJobs(t); left != "" {
			t.Errorf("cscs ended, and in the queue is %s", left)
		}
	})
	t.Run("left-in-the-queue", func(t *testing.T) {
		begin(t)
		s := serve(t, append([]string{"--detach", "--slurm=--begin=now+1hour"}, onHidden...))
		s.end(0)
		id := s.events()[0].Session
		ageLease(t, id)
		says(t, mustCmd(t, "ps", "--refresh"), id)
		says(t, mustCmd(t, "stop", id), "stopped")
		if left := aliceJobs(t); left != "" {
			t.Errorf("cscs stop ended, and in the queue is %s", left)
		}
	})
	t.Run("healthy", func(t *testing.T) {
		begin(t)
		s := serve(t, onHidden)
		s.ready()
		// As a file system that hangs would stop it, for longer than its pulse is waited for.
		runner := runnerOf(t, s)
		signalRunner(t, runner, syscall.SIGSTOP)
		t.Cleanup(func() { _ = runner.Signal(syscall.SIGCONT) })
		if _, ended := s.await(40*time.Second, "ended"); ended {
			t.Fatal("the session ended though its step runs")
		}
		signalRunner(t, runner, syscall.SIGCONT)
		closeReady(t, s)
	})
}

// TestLeftSessionWithoutRunner (I1): a session was left, and its step was killed. No process guards
// the allocation any more, so the next command that looks ends it.
func TestLeftSessionWithoutRunner(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--via", "salloc", "--lease", "2m"})
	ready := s.ready()
	granted, _ := s.find("granted")
	says(t, mustCmd(t, "detach"), "detached", ready.Session)
	s.end(0)
	output(t, "alice", "daint", "scancel", "--signal=KILL", granted.Job+".0")
	// The extern step stays as long as the job.
	if left := poll(patience, func() string {
		return lineWith(output(t, "alice", "daint", "squeue", "-h", "-s", "-o", "%i", "-j", granted.Job)+"\n", granted.Job+".0")
	}); left != "" {
		t.Fatalf("the step was killed, and is there: %s", left)
	}
	ageLease(t, ready.Session)
	says(t, mustCmd(t, "ps", "--refresh"), granted.Job, "cancelled")
	if left := poll(patience, func() string { return aliceJobs(t) }); left != "" {
		t.Errorf("no process guards it, and it runs: %s", left)
	}
	// What tells how it ended stays for its owner.
	says(t, mustCmd(t, "stop", ready.Session, "--cluster", "daint"), "ended before")
}

// ageLease sets the stamp of the session's lease back by three hours.
func ageLease(t *testing.T, id string) {
	t.Helper()
	file := clusterHome(".cscs/daint", id, "lease")
	var beat string
	var stamp int64
	if _, err := fmt.Sscan(readFile(t, file), &beat, &stamp); err != nil {
		t.Fatal(err)
	}
	write(t, file, fmt.Sprintf("%s %d\n", beat, stamp-3*3600))
}

// runnerOf returns the runner of the session, as this machine sees it.
func runnerOf(t *testing.T, s *session) *os.Process {
	t.Helper()
	for _, p := range userProcesses() {
		if strings.HasPrefix(p.host, "nid") && strings.Contains(p.cmdline, s.events()[0].Session+"/remote.sh run") {
			found, err := os.FindProcess(p.pid)
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
	}
	t.Fatal("the session has no runner")
	return nil
}

func signalRunner(t *testing.T, runner *os.Process, sig os.Signal) {
	t.Helper()
	if err := runner.Signal(sig); err != nil {
		t.Fatal(err)
	}
}
