//go:build lab

package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// running is a server of a user's on a node, in a job of theirs.
func running(t *testing.T, user string, salloc []string, server ...string) (job string) {
	t.Helper()
	job = occupy(t, user, salloc...)
	inJob(t, user, job, append([]string{lab.testserver, "-name", user}, server...)...).line("listens")
	return job
}

// TestTunnelByJob finds the node by the job.
func TestTunnelByJob(t *testing.T) {
	begin(t)
	job := running(t, "alice", []string{"-w", "nid001002"}, "127.0.0.1:6006")
	s := cscs(t, "tunnel", "--job", job, "--port", "6006")
	if code, body := get(t, s.ready().URL); code != http.StatusOK || !strings.HasPrefix(body, "alice") {
		t.Errorf("%d %s", code, body)
	}
	s.signal(syscall.SIGTERM)
	s.end(0)
}

// TestTunnelToUnknownNode (I7): a node that the login node's ssh_known_hosts
// lacks is asked for its key from the login node, and that is told.
func TestTunnelToUnknownNode(t *testing.T) {
	begin(t)
	last := lab.Nodes[len(lab.Nodes)-1]
	running(t, "alice", []string{"-w", last}, "127.0.0.1:6006")
	s := cscs(t, "tunnel", "--node", last, "--port", "6006")
	s.ready()
	w, ok := s.find("warning")
	if !ok {
		t.Fatalf("nothing said that the key was scanned\n%s", s.stdout)
	}
	says(t, w.Message, last, "key")
	s.signal(syscall.SIGINT)
	s.end(0)
}

// TestTunnelToChangedNode (I7): a key other than the cluster's own record is refused.
func TestTunnelToChangedNode(t *testing.T) {
	begin(t)
	running(t, "alice", []string{"-w", "nid001001"}, "127.0.0.1:6006")
	known := lab.Path("daint", "/etc/ssh/ssh_known_hosts")
	swapKeys(t, known, "nid001001", "nid001002")
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006")
	e := s.failure(3, "host-key-changed")
	says(t, e.Message, "nid001001", "key")
}

// swapKeys gives a host another's key in a known_hosts file, until the test ends.
func swapKeys(t *testing.T, file, host, other string) {
	t.Helper()
	before := readFile(t, file)
	var lines, key []string
	for line := range strings.Lines(before) {
		if f := strings.Fields(line); strings.HasPrefix(f[0], other) {
			key = f[1:]
		}
	}
	if key == nil {
		t.Fatalf("%s has no key of %s", file, other)
	}
	for line := range strings.Lines(before) {
		if f := strings.Fields(line); strings.HasPrefix(f[0], host) {
			line = strings.Join(append(f[:1], key...), " ") + "\n"
		}
		lines = append(lines, line)
	}
	write(t, file, strings.Join(lines, ""))
	t.Cleanup(func() { write(t, file, before) })
}

// TestTunnelWithoutJob: a node without a job of alice's turns her away, and
// the reason is told.
func TestTunnelWithoutJob(t *testing.T) {
	begin(t)
	unallocated(t)
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006")
	e := s.failure(4, "no-job-on-node")
	says(t, e.Message+" "+e.Hint, "nid001001", "job")
}

// TestTunnelToNoNode: a node that the cluster does not have.
func TestTunnelToNoNode(t *testing.T) {
	begin(t)
	e := cscs(t, "tunnel", "--node", "nid009999", "--port", "6006").failure(1, "remote-unknownnode")
	says(t, e.Message+" "+e.Hint, "there is no node nid009999", "squeue --me")
}

// TestTunnelToNothing: a port on which nobody listens.
func TestTunnelToNothing(t *testing.T) {
	begin(t)
	occupy(t, "alice", "-w", "nid001001")
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006")
	e := s.failure(1, "nothing-listens")
	says(t, e.Message+" "+e.Hint, "6006")
}

// TestTunnelToUnknownJob: a job that is not there, or not running.
func TestTunnelToUnknownJob(t *testing.T) {
	begin(t)
	s := cscs(t, "tunnel", "--job", "999999", "--port", "6006")
	e := s.failure(4, "job-ended")
	says(t, e.Message, "999999")
}

// TestTunnelToMallory (I5): the port on the shared node is somebody else's.
func TestTunnelToMallory(t *testing.T) {
	begin(t)
	occupy(t, "alice", "-p", "shared", "-w", "nid001001", "-n1")
	running(t, "mallory", []string{"-p", "shared", "-w", "nid001001", "-n1"}, "127.0.0.1:6006")
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006")
	e := s.failure(1, "not-yours")
	says(t, e.Message, "6006", "mallory")
	if _, ready := s.find("ready"); ready {
		t.Error("ready, with mallory's server at the other end")
	}
}

// TestTunnelWide (I4): a server that listens for everybody is not forwarded
// unless that is allowed; it is alice's own, so it is not stopped.
func TestTunnelWide(t *testing.T) {
	begin(t)
	job := running(t, "alice", []string{"-w", "nid001001"}, "0.0.0.0:6006")
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006")
	e := s.failure(1, "server-wide")
	says(t, e.Message+" "+e.Hint, "6006", "--allow-wide-bind")
	allowed := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006", "--allow-wide-bind")
	allowed.ready()
	if _, warned := allowed.find("warning"); !warned {
		t.Error("allowed, but not even warned of")
	}
	allowed.signal(syscall.SIGINT)
	allowed.end(0)
	if state := jobState(t, job); state != "RUNNING" {
		t.Errorf("the job is %s", state)
	}
}

// TestTunnelAmongJobs: of two jobs of alice's on a shared node, the tunnel ends with the one that the
// server runs in, and outlives the other.
func TestTunnelAmongJobs(t *testing.T) {
	begin(t)
	job := running(t, "alice", []string{"-p", "shared", "-w", "nid001001", "-n1", "-t", "20"}, "127.0.0.1:7007")
	other := occupy(t, "alice", "-p", "shared", "-w", "nid001001", "-n1", "-t", "90")
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "7007")
	ready := s.ready()
	cancelJob(t, other)
	if code, body := get(t, ready.URL); code != http.StatusOK || !strings.HasPrefix(body, "alice") {
		t.Errorf("after the end of the other job: %d %s", code, body)
	}
	cancelJob(t, job)
	says(t, s.failure(4, "job-ended").Message, job)
}
