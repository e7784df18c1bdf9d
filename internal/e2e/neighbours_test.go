//go:build lab

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHarmIsNoticed: each kind of harm to what is beside a session is seen, and what a crash takes is not.
func TestHarmIsNoticed(t *testing.T) {
	begin(t)
	n := &neighbours{t: t}
	t.Cleanup(n.remove)
	jobNamed := func(name string) string {
		for id, facts := range n.jobs {
			if strings.Contains(facts, "JobName="+name+" ") {
				return id
			}
		}
		t.Fatalf("no job %s in %v", name, n.jobs)
		return ""
	}
	kill := func(host string) {
		for pid, p := range n.procs {
			if p.host == host {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				poll(patience, func() string { return beganAt(pid) })
				return
			}
		}
		t.Fatalf("no process on %s in %v", host, n.procs)
	}
	cancel := func(name string) {
		id := jobNamed(name)
		before := n.jobs[id]
		output(t, "root", "ctl", "scancel", id)
		poll(patience, func() string {
			if jobFacts(t, id) == before {
				return "as before"
			}
			return ""
		})
	}
	results := clusterHome("precious/results.csv")
	for _, c := range []struct {
		name string
		harm func()
		want string // in what is told; "" if nothing is to be
		gone gone
	}{
		{"nothing", func() {}, "", gone{}},
		{"a running job", func() { cancel("cscs-training") }, "JobName=cscs-training", gone{}},
		{"a job with a path for a name", func() { cancel("cscs-../../precious") }, "JobName=cscs-../../precious", gone{}},
		{"a job that waits", func() { cancel("cscs-waiting2") }, "JobName=cscs-waiting2", gone{}},
		{"another user's job", func() { cancel("cscs-mallorys") }, "JobName=cscs-mallorys", gone{}},
		{"a process on a node", func() { kill(neighbourNode()) }, "a process", gone{}},
		{"a process on the login node", func() { kill("daint") }, "a process", gone{}},
		{"one that a fault killed", func() { kill("daint") }, "", gone{onLogin: true}},
		{"one that died with its host", func() { kill("laptop") }, "", gone{hosts: map[string]bool{"laptop": true}}},
		{"a file's content", func() { write(t, results, "1,2,4\n") }, results, gone{}},
		{"a file's mode", func() { _ = os.Chmod(results, 0o600) }, results, gone{}},
		{"a file's time", func() { _ = os.Chtimes(results, time.Now(), time.Now()) }, results, gone{}},
		{"a file beside the sessions'", func() { _ = os.Remove(clusterHome(".cscs/daint/hgfedcba/lease")) }, "hgfedcba/lease", gone{}},
		{"a directory beside the sessions'", func() { _ = os.RemoveAll(clusterHome(".cscs/daint/notours")) }, "notours", gone{}},
		{"a file on the laptop", func() { _ = os.Remove(laptopHome("precious/results.csv")) }, laptopHome("precious/results.csv"), gone{}},
		{"a new file beside the precious", func() { write(t, clusterHome("precious/new"), "") }, clusterHome("precious"), gone{}},
	} {
		n.ensure(t)
		n.snapshot(t)
		c.harm()
		told := n.harmed(t, c.gone)
		if c.want == "" && told != "" || !strings.Contains(told, c.want) {
			t.Errorf("%s: told: %q, want %q", c.name, told, c.want)
		}
		if stale := c.name != "nothing"; n.stale != stale {
			t.Errorf("%s: the neighbours are to be made again: %v", c.name, n.stale)
		}
	}
}
