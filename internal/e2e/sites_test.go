//go:build lab

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// loginNode has the common name of the login nodes lead to host.
func loginNode(t *testing.T, host string) {
	t.Helper()
	t.Cleanup(func() { tell(t, "login-node", "daint") })
	tell(t, "login-node", host)
}

// TestTwoLoginNodes: a cluster's name stands for several login nodes. A session that was begun on one
// goes on over another when that one dies, and is listed, picked up and stopped from another.
func TestTwoLoginNodes(t *testing.T) {
	t.Run("one-dies", func(t *testing.T) {
		begin(t)
		s := serve(t, nil)
		url := s.ready().URL
		loginNode(t, "daint2")
		tell(t, "crash", "daint")
		s.wait("restored")
		if code, body := here.get(t, url); code != 200 {
			t.Errorf("%s: %d %s", url, code, body)
		}
		tell(t, "boot", "daint")
		closeReady(t, s)
	})
	t.Run("left-on-one-and-stopped-on-the-other", func(t *testing.T) {
		begin(t)
		for _, flags := range [][]string{nil, {"--slurm=--begin=now+1hour"}} {
			loginNode(t, "daint")
			s := serve(t, append([]string{"--detach"}, flags...))
			s.end(0)
			loginNode(t, "daint2")
			id := s.events()[0].Session
			says(t, mustCmd(t, "ps", "--refresh"), id)
			says(t, mustCmd(t, "stop", id), "stopped")
			if left := aliceJobs(t); left != "" {
				t.Errorf("left in the queue: %s", left)
			}
		}
	})
}

// TestNodeByAddress: the login node does not know the node's name, so it can start no step there, and sbatch gets the
// request. The node's address leads there by ssh.
func TestNodeByAddress(t *testing.T) {
	begin(t)
	hosts := lab.Path("daint", "/etc/hosts")
	before := readFile(t, hosts)
	t.Cleanup(func() { write(t, hosts, before) })
	write(t, hosts, strings.ReplaceAll(before, "nid001002", "another"))
	s := serve(t, []string{"--nodelist", "nid001002"})
	if code, body := here.get(t, s.ready().URL); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if n := s.stepReports(); n > 0 {
		t.Errorf("told %d times of a job step", n)
	}
	closeReady(t, s)
}

// TestNodeDoesNotReachLogin: a firewall keeps the nodes from the ports on which srun listens on the login node. srun
// hears nothing then, and would wait without end.
func TestNodeDoesNotReachLogin(t *testing.T) {
	begin(t)
	// The login node answers the nodes nowhere but in its own connections to sshd and slurmd, ip-rule(8).
	for i, rule := range []string{"dport 22 lookup main", "dport 6818 lookup main", "blackhole"} {
		args := strings.Fields(fmt.Sprintf("pref %d to 172.28.0.96/27 ipproto tcp %s", 100+i, rule))
		t.Cleanup(func() { output(t, "root", "daint", append([]string{"ip", "rule", "del"}, args...)...) })
		output(t, "root", "daint", append([]string{"ip", "rule", "add"}, args...)...)
	}
	s := serve(t, nil)
	if code, body := here.get(t, s.ready().URL); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	moved := slices.ContainsFunc(s.events(), func(e event) bool { return e.Event == "warning" && strings.Contains(e.Message, "sbatch") })
	if !moved {
		t.Errorf("no job of sbatch's: %+v", s.events())
	}
	closeReady(t, s)
}

// TestSlowHome: a home file system under load, where each call takes 200 ms.
func TestSlowHome(t *testing.T) {
	begin(t)
	for _, host := range []string{"daint", "nid001002"} {
		t.Cleanup(func() { tell(t, "slow-home", "off", host) })
		tell(t, "slow-home", "on", host)
	}
	s := serve(t, []string{"--nodelist", "nid001002"})
	if code, body := here.get(t, s.ready().URL); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	closeReady(t, s)
}

// TestNoexecTmp: nothing of ours runs from /tmp of the node.
func TestNoexecTmp(t *testing.T) {
	begin(t)
	t.Cleanup(func() { output(t, "root", "nid001002", "mount", "-o", "remount,exec", "/tmp") })
	output(t, "root", "nid001002", "mount", "-o", "remount,noexec", "/tmp")
	s := cscs(t, "run-jupyter", "--nodelist", "nid001002", "--venv", lab.Env["LAB_VENV"])
	s.ready()
	closeReady(t, s)
}

// TestReadOnlyHomeOfTheNode: the node cannot write into the session's directory, so nothing of it is
// ever seen. That is said, and nothing runs on.
func TestReadOnlyHomeOfTheNode(t *testing.T) {
	begin(t)
	t.Cleanup(func() { tell(t, "readonly-home", "off", "nid001002") })
	tell(t, "readonly-home", "on", "nid001002")
	for _, via := range []string{"auto", "salloc"} {
		s := serve(t, []string{"--nodelist", "nid001002", "--via", via})
		e := s.failure(5, "step")
		says(t, e.Message+" "+e.Hint, "nid001002", "home", "read-only")
		if left := poll(patience, func() string { return aliceJobs(t) }); left != "" {
			t.Errorf("left in the queue: %s", left)
		}
	}
}

// TestSharedPartitionBesideOthers: another user's processes are on the node, and a port of hers where
// ours was asked for.
func TestSharedPartitionBesideOthers(t *testing.T) {
	begin(t)
	job := submitAs(t, "mallory", "hers", "--partition=shared", "--nodelist=nid001001", "--ntasks=1")
	if left := poll(patience, func() string {
		if state := output(t, "root", "ctl", "squeue", "-h", "-j", job, "-o", "%T"); state != "RUNNING" {
			return state
		}
		return ""
	}); left != "" {
		t.Fatalf("mallory's job is %s", left)
	}
	s := serve(t, onShared)
	s.ready()
	s.signal(syscall.SIGINT)
	s.end(0)
	if state := output(t, "root", "ctl", "squeue", "-h", "-j", job, "-o", "%T"); state != "RUNNING" {
		t.Errorf("mallory's job is %s", state)
	}
}
