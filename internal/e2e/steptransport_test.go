//go:build lab

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The node of these tests, which lets nobody in by ssh.
const barred = "nid001001"

// sshdStopped ends the node's sshd for the length of the test.
func sshdStopped(t *testing.T) {
	t.Helper()
	tell(t, "stop-service", barred, "sshd")
	t.Cleanup(func() { tell(t, "start-service", barred, "sshd") })
}

// changed puts a line before those of a file of a host, and puts the file back in the end.
func changed(t *testing.T, host, path, line string) {
	t.Helper()
	file := lab.Path(host, path)
	before := readFile(t, file)
	t.Cleanup(func() { write(t, file, before) })
	write(t, file, line+"\n"+before)
}

// pamDenies has the node's PAM refuse everybody.
func pamDenies(t *testing.T) {
	t.Helper()
	changed(t, barred, "/etc/pam.d/sshd", "account requisite pam_deny.so")
}

// loginForwardsNothing has the login node's sshd carry no connections further.
func loginForwardsNothing(t *testing.T) {
	t.Helper()
	sshdConfigured(t, "daint", "AllowTcpForwarding no")
}

// sshdConfigured has the sshd of a host take a line before all others, for connections that
// are made from now on. What is connected stays.
func sshdConfigured(t *testing.T, host, line string) {
	t.Helper()
	restart := func() {
		tell(t, "stop-service", host, "sshd")
		tell(t, "start-service", host, "sshd")
	}
	t.Cleanup(restart) // after the file is put back
	changed(t, host, "/etc/ssh/sshd_config", line)
	restart()
}

// serveBarred is serve on the node that lets nobody in by ssh.
func serveBarred(t *testing.T, server ...string) *session {
	t.Helper()
	return serve(t, []string{"--nodelist", barred}, server...)
}

// isDoor reports whether it is a process of the way in: srun on the login node, sshd on
// the node, whose own does not run.
func isDoor(p process) bool {
	return strings.HasPrefix(p.cmdline, "srun ") && strings.Contains(p.cmdline, "remote.sh sshd") ||
		p.host == barred && strings.HasPrefix(p.cmdline, "sshd")
}

// doors are alice's processes of that kind.
func doors() string {
	var found []string
	for _, p := range userProcesses() {
		if isDoor(p) {
			found = append(found, p.host+": "+p.cmdline)
		}
	}
	return strings.Join(found, "\n")
}

// notOneStep are the doors if there are not just those of one step, srun and its shepherd.
func notOneStep() string {
	found := doors()
	switch {
	case strings.Count(found, "remote.sh sshd") == 2:
		return ""
	case found == "":
		return "there is no step"
	}
	return found
}

// stepReports returns how often the session has reported that it connects through a job step.
func (s *session) stepReports() int {
	s.t.Helper()
	n := 0
	for _, e := range s.events() {
		if e.Event == "warning" && strings.Contains(e.Message, "going through a job step") {
			n++
		}
	}
	return n
}

// TestStepTransport: ssh to the node is refused though the job runs there, in one of the ways
// in which sites do that; the session goes through a job step, and leaves nothing.
func TestStepTransport(t *testing.T) {
	for _, c := range []struct {
		name string
		bar  func(*testing.T)
		says string
	}{
		{"sshd-stopped", sshdStopped, "connection refused"},
		{"refused-by-pam", pamDenies, "account"},
		{"login-forwards-nothing", loginForwardsNothing, "daint cannot reach " + barred},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			c.bar(t)
			s := serveBarred(t)
			w := s.wait("warning")
			says(t, w.Message, "no ssh to "+barred, c.says, "job step")
			e := s.ready()
			if code, body := get(t, e.URL); code != http.StatusOK {
				t.Errorf("%d %s", code, body)
			}
			if left := notOneStep(); left != "" {
				t.Errorf("of one step there are:\n%s", left)
			}
			closeReady(t, s)
			if n := s.stepReports(); n != 1 {
				t.Errorf("told %d times", n)
			}
		})
	}
}

// forwardsNothing are the ways in which an sshd lets users in and forwards no connections.
var forwardsNothing = map[string]string{
	"no-tcp":  "AllowTcpForwarding no",
	"no-open": "PermitOpen none",
	"nothing": "DisableForwarding yes",
}

// TestStepTransportWhereNothingIsForwarded: the node's sshd lets alice in and forwards nothing. The
// session notices that before it is ready.
func TestStepTransportWhereNothingIsForwarded(t *testing.T) {
	for name, line := range forwardsNothing {
		t.Run(name, func(t *testing.T) {
			begin(t)
			sshdConfigured(t, barred, line)
			s := serveBarred(t)
			e := s.ready()
			if n := s.stepReports(); n != 1 {
				t.Errorf("told %d times before it was ready", n)
			}
			if code, body := get(t, e.URL); code != http.StatusOK {
				t.Errorf("%d %s", code, body)
			}
			if left := notOneStep(); left != "" {
				t.Errorf("of one step there are:\n%s", left)
			}
			closeReady(t, s)
		})
	}
}

// TestStepTransportWhereNothingIsForwardedLater: the node's sshd is configured so after the session
// was ready, and then the connection to the node ends.
func TestStepTransportWhereNothingIsForwardedLater(t *testing.T) {
	begin(t)
	s := serveBarred(t)
	url := s.ready().URL
	sshdConfigured(t, barred, "AllowTcpForwarding no")
	for _, p := range userProcesses() {
		if p.host == barred && strings.HasPrefix(p.cmdline, "sshd") {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	s.wait("lost")
	s.wait("restored")
	if code, body := get(t, url); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if n := s.stepReports(); n != 1 {
		t.Errorf("told %d times", n)
	}
	closeReady(t, s)
}

// TestStepTransportTunnel: a tunnel into a job of the user's goes that way too, and leaves nothing.
func TestStepTransportTunnel(t *testing.T) {
	for _, c := range []struct {
		name string
		bar  func(*testing.T)
		to   func(job string) []string
	}{
		{"job", sshdStopped, func(job string) []string { return []string{"--job", job} }},
		{"node", pamDenies, func(string) []string { return []string{"--node", barred} }},
		{"nothing-forwarded", func(t *testing.T) { sshdConfigured(t, barred, forwardsNothing["no-tcp"]) },
			func(job string) []string { return []string{"--job", job} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			job := running(t, "alice", []string{"-w", barred}, "127.0.0.1:6006")
			c.bar(t)
			s := cscs(t, append([]string{"tunnel", "--port", "6006"}, c.to(job)...)...)
			if code, body := get(t, s.ready().URL); code != http.StatusOK || !strings.HasPrefix(body, "alice") {
				t.Errorf("%d %s", code, body)
			}
			if n := s.stepReports(); n != 1 {
				t.Errorf("told %d times", n)
			}
			s.signal(syscall.SIGINT)
			s.end(0)
			if left := poll(patience, func() string {
				files, _ := filepath.Glob(clusterHome(".cscs/*/*"))
				return doors() + strings.Join(files, " ")
			}); left != "" {
				t.Errorf("left: %s", left)
			}
		})
	}
	t.Run("no-job", func(t *testing.T) {
		begin(t)
		sshdStopped(t)
		says(t, cscs(t, "tunnel", "--node", barred, "--port", "6006").failure(1, "hop-refused").Message, "cannot reach "+barred, "refused")
	})
}

// TestStepTransportCarries what the ordinary way carries.
func TestStepTransportCarries(t *testing.T) {
	t.Run("http", func(t *testing.T) {
		begin(t)
		sshdStopped(t)
		s := serveBarred(t)
		e := s.ready()
		t.Run("download", func(t *testing.T) { download(t, e.URL, 30<<20) })
		t.Run("upload", func(t *testing.T) { upload(t, e.URL, 30<<20) })
		t.Run("200-at-once", func(t *testing.T) { openAtOnce(t, fmt.Sprintf("127.0.0.1:%d", e.LocalPort), 200) })
		closeReady(t, s)
	})
	t.Run("half-close", func(t *testing.T) {
		begin(t)
		sshdStopped(t)
		s := serveBarred(t, "-tcp")
		halfClose(t, s)
		closeReady(t, s)
	})
}

// TestStepTransportLost: the network is cut for longer than a chain lives, and comes back;
// the session goes on through another step, and the one of before ends.
func TestStepTransportLost(t *testing.T) {
	begin(t)
	sshdStopped(t)
	s := serveBarred(t)
	url := s.ready().URL
	cut(t)
	if _, ok := s.await(2*patience, "lost"); !ok {
		t.Fatal("the loss was not told")
	}
	tell(t, "heal")
	s.wait("restored") // the login node
	if code, body := get(t, url); code != http.StatusOK {
		t.Errorf("after the network came back: %d %s", code, body)
	}
	if n := s.stepReports(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if left := poll(2*patience, notOneStep); left != "" {
		t.Errorf("not of one step:\n%s", left)
	}
	closeReady(t, s)
}

// TestStepTransportAsleep: the laptop is closed. The step's sshd asks for the client and then
// ends, though no connection on the way does; when the laptop wakes, another takes its place.
func TestStepTransportAsleep(t *testing.T) {
	begin(t)
	sshdStopped(t)
	s := serveBarred(t)
	url := s.ready().URL
	client := clientProcess(t)
	t.Cleanup(func() { _ = syscall.Kill(client, syscall.SIGCONT) })
	if err := syscall.Kill(client, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if left := poll(2*patience, doors); left != "" {
		t.Errorf("nothing is heard of the client, and there is still:\n%s", left)
	}
	if err := syscall.Kill(client, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGCONT) // what stands for it here has stopped with it
	s.wait("lost")
	s.wait("restored")
	if code, body := get(t, url); code != http.StatusOK {
		t.Errorf("after the sleep: %d %s", code, body)
	}
	closeReady(t, s)
}

// clientProcess is the number of the one cscs on the laptop.
func clientProcess(t *testing.T) int {
	t.Helper()
	var found []int
	for _, p := range userProcesses() {
		if p.host == "laptop" && strings.HasPrefix(p.cmdline, lab.bin+" ") {
			found = append(found, p.pid)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d clients run", len(found))
	}
	return found[0]
}

// TestStepTransportKilled: what carries the connection is killed, on the login node or on the
// node; another step takes its place.
func TestStepTransportKilled(t *testing.T) {
	for _, host := range []string{"daint", barred} {
		t.Run(host, func(t *testing.T) {
			begin(t)
			sshdStopped(t)
			s := serveBarred(t)
			url := s.ready().URL
			// sshd has several processes, of which one may just be beginning.
			lost := false
			for range 20 {
				for _, p := range userProcesses() {
					if p.host == host && isDoor(p) {
						_ = syscall.Kill(p.pid, syscall.SIGKILL)
					}
				}
				if _, lost = s.await(time.Second, "lost"); lost {
					break
				}
			}
			if !lost {
				t.Fatalf("nothing was lost: %s", s.stdout)
			}
			s.wait("restored")
			if code, body := get(t, url); code != http.StatusOK {
				t.Errorf("%d %s", code, body)
			}
			closeReady(t, s)
		})
	}
}

// TestStepTransportClientKilled: the step ends with the client, long before the lease.
func TestStepTransportClientKilled(t *testing.T) {
	begin(t)
	sshdStopped(t)
	s := serveBarred(t)
	s.ready()
	g, _ := s.find("granted")
	t.Cleanup(func() {
		cancelJob(t, g.Job)
		if err := os.RemoveAll(clusterHome(".cscs")); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Kill(clientProcess(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if left := poll(20*time.Second, doors); left != "" {
		t.Errorf("the client is dead, and there is still:\n%s", left)
	}
	if state := jobState(t, g.Job); state != "RUNNING" {
		t.Errorf("the job, under its lease, is %q", state)
	}
}

// TestStepTransportInterrupted: Ctrl-C while the step is on its way.
func TestStepTransportInterrupted(t *testing.T) {
	begin(t)
	sshdStopped(t)
	s := serveBarred(t)
	s.wait("started")
	if left := poll(patience, func() string {
		if doors() == "" {
			return "no step"
		}
		return ""
	}); left != "" {
		t.Fatal(left)
	}
	s.signal(os.Interrupt)
	if code := s.exit(patience); code != 0 && code != 130 {
		t.Errorf("exit code %d", code)
	}
}

// TestNoWayToNode: no sshd on the node at all. Both reasons are told, and nothing is left.
func TestNoWayToNode(t *testing.T) {
	begin(t)
	sshdStopped(t)
	t.Cleanup(func() { output(t, "root", barred, "mv", "/usr/sbin/sshd.away", "/usr/sbin/sshd") })
	output(t, "root", barred, "mv", "/usr/sbin/sshd", "/usr/sbin/sshd.away")
	s := serveBarred(t)
	e := s.failure(1, "no-way-to-node")
	says(t, e.Message, "cannot reach "+barred, "connection refused", "there is no sshd on "+barred)
	says(t, e.Hint, "site")
	if _, ready := s.find("ready"); ready {
		t.Error("it was ready")
	}
}

// TestStepTransportNotForAStranger (I7): a node with another host key than the runner has found
// there is not gone round.
func TestStepTransportNotForAStranger(t *testing.T) {
	begin(t)
	impersonate(t, barred, "nid001002")
	// Slurm's own commands go astray there, too; those of a batch job run on the node.
	s := serve(t, []string{"--via", "sbatch", "--nodelist", barred})
	says(t, s.failure(3, "host-key-changed").Message, barred, "key")
	if n := s.stepReports(); n > 0 {
		t.Error("it went another way")
	}
}
