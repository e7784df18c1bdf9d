//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bring starts a session and brings it into its phase: each is known by what is seen.
func (r *row) bring(t *testing.T, s *subject) {
	t.Helper()
	comment := s.tag
	if held := holds(s.phase); held != "" {
		comment = "hold-" + held + "-" + s.tag
	}
	via := "auto"
	server := []string{lab.testserver, "127.0.0.1:{port}"}
	switch s.phase {
	case connecting:
		stopSSHD(t)
	case queuedSalloc:
		via = "salloc"
	case submittedSbatch, readySbatch:
		via = "sbatch"
	case starting:
		server = []string{"bash", "-c", "until [[ -e " + s.hook() + " ]]; do sleep 0.05; done; exec " + lab.testserver + " 127.0.0.1:$PORT"}
	case ending:
		server = []string{lab.testserver, "-ignore-term", "127.0.0.1:{port}"}
	}
	words := []string{floor, s.runtime(t), "run", "--via", via, "--lease", r.lease,
		"--nodelist", r.node[s.phase], "--time", "20", "--start-timeout", "3m", "--slurm=--comment=" + comment, "--"}
	s.session = cscs(t, append(words, server...)...)
	s.id = s.wait("connecting").Session
	switch s.phase {
	case connecting:
		for e := s.wait("connecting"); e.Host != "daint"; {
			e = s.wait("connecting")
		}
	case submitted, submittedSbatch:
		s.unheard(t, func(jobs string) bool { return strings.Contains(jobs, "RUNNING") })
		if _, told := s.find("granted"); told {
			t.Fatal("the laptop knows the job's number")
		}
	case handedOver:
		s.handed(t)
	case enqueued:
		s.unheard(t, func(jobs string) bool { return strings.Contains(jobs, "PENDING") })
	case queued, queuedSalloc:
		s.wait("queued")
	case starting:
		s.wait("started")
	case ready, readySbatch, ending:
		s.ready()
	}
}

// unheard waits until Slurm has done what it was asked for, as its jobs show, and its command
// has ended, whose answer is kept back.
func (s *subject) unheard(t *testing.T, done func(jobs string) bool) {
	t.Helper()
	if left := poll(patience, func() string {
		if jobs := sessionJobs(s.id); !done(jobs) {
			return "jobs: " + jobs
		}
		for _, p := range userProcesses() {
			if strings.HasPrefix(p.cmdline, "/usr/bin/"+holds(s.phase)+" ") && strings.Contains(p.cmdline, s.tag) {
				return p.cmdline
			}
		}
		return ""
	}); left != "" {
		t.Fatalf("%s\n%s", left, s)
	}
}

// handed waits until the request is taken back from salloc, and sbatch is about to ask.
func (s *subject) handed(t *testing.T) {
	t.Helper()
	if left := poll(patience, func() string {
		if jobs := sessionJobs(s.id); jobs != "" {
			return "jobs: " + jobs
		}
		for _, p := range userProcesses() {
			if strings.Contains(p.cmdline, "/usr/local/bin/sbatch ") && strings.Contains(p.cmdline, s.tag) {
				return ""
			}
		}
		return "sbatch is not asked"
	}); left != "" {
		t.Fatalf("%s\n%s", left, s)
	}
}

// remote waits for an event in the session's file on the cluster.
func (s *subject) remote(t *testing.T, name string) {
	t.Helper()
	if left := poll(patience, func() string {
		text, _ := os.ReadFile(clusterHome(".cscs/daint", s.id, "events"))
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, name+"\t") {
				return ""
			}
		}
		return "no " + name + " in: " + string(text)
	}); left != "" {
		t.Error(left)
	}
}

// sessionJobs are the session's jobs that hold something, found by their name and
// asked for on the controller, which is there when the login node is not.
func sessionJobs(id string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := lab.Command(ctx, "in", "ctl", "squeue", "-a", "-h", "-n", "cscs-"+id,
		"-t", "PENDING,RUNNING,SUSPENDED,CONFIGURING", "-o", "%i %T %R").CombinedOutput()
	if err != nil {
		return "squeue: " + err.Error() + ": " + string(out)
	}
	return strings.TrimSpace(string(out))
}

// sessionProcesses are those on the cluster that can be told to be of the session.
func sessionProcesses(id string) string {
	var found []string
	for _, p := range userProcesses() {
		if p.host != "laptop" && (strings.Contains(p.cmdline, id) || environ(p.pid)["CSCS_SESSION"] == id) {
			found = append(found, p.host+": "+p.cmdline)
		}
	}
	return strings.Join(found, "\n")
}

// gone: nothing of the session's runs, or will. In a cell with a known gap it is the other
// way round, in just the way that is known.
func (s *subject) gone(t *testing.T, r *row, o outcome) {
	t.Helper()
	if o.known != "" {
		s.leaks(t, r)
		return
	}
	limit := patience
	if r.within > 0 {
		limit = r.within - time.Since(r.struck)
	}
	left := poll(limit, func() string {
		jobs := sessionJobs(s.id)
		if o.waits && strings.Contains(jobs, "PENDING") {
			jobs = ""
		}
		return strings.TrimSpace(jobs + "\n" + sessionProcesses(s.id))
	})
	took := time.Since(r.struck).Round(100 * time.Millisecond)
	if left != "" {
		t.Errorf("%v after the fault there is:\n%s\n%s", took, left, s)
		return
	}
	t.Logf("measured: %s: nothing runs %v after the fault", s.tag, took)
	// Who withdraws a request is not seen above: it tidies up when Slurm has no job any more.
	if left := poll(patience, func() string {
		_, err := os.Stat(clusterHome(".cscs/daint", s.id))
		if o.stays != (err == nil) && (!o.mayGo || err == nil) {
			return fmt.Sprintf("the session's directory: %v; want it to stay: %v", err, o.stays)
		}
		return ""
	}); left != "" {
		t.Error(left)
	}
}

// goneWhenFreed: the request that nobody owns gets its node, and gives it back.
func (s *subject) goneWhenFreed(t *testing.T, r *row) {
	t.Helper()
	left := poll(patience, func() string { return strings.TrimSpace(sessionJobs(s.id) + "\n" + sessionProcesses(s.id)) })
	took := time.Since(r.freed).Round(100 * time.Millisecond)
	if left != "" {
		t.Errorf("%v after the node was free there is:\n%s\n%s", took, left, s)
		return
	}
	t.Logf("measured: %s: nothing is left %v after the node was free", s.tag, took)
}

// leaks: the job got its node, and there is nobody in it, nor anywhere, who would end it.
func (s *subject) leaks(t *testing.T, r *row) {
	t.Helper()
	if left := poll(patience, func() string {
		if jobs := sessionJobs(s.id); !strings.Contains(jobs, "RUNNING") {
			return "the job does not run: " + jobs
		}
		return sessionProcesses(s.id)
	}); left != "" {
		t.Errorf("known was: %s.\nIt is not seen any more:\n%s", r.cells[s.phase].known, left)
	}
	t.Logf("measured: %s: known to leak, and does: %s", s.tag, sessionJobs(s.id))
}

// ends: the client lives, and says how it went.
func (s *subject) ends(t *testing.T, o outcome) {
	t.Helper()
	code := s.exit(5 * time.Minute) // a lease, 90 s, and an end that nothing answers
	events := s.events()
	last := events[len(events)-1]
	if code != o.code || last.Event != "ended" || *last.Code != code {
		t.Errorf("exit code %d, want %d\n%s", code, o.code, s)
	}
	said := ""
	for _, e := range events {
		said += e.Message + " " + e.Hint + " " + e.Reason + "\n"
	}
	says(t, said, o.says...)
	t.Logf("measured: %s: the client ended with %d: %s", s.tag, code, last.Reason)
}

// goesOn: the client lives, the session becomes what it was asked for, once, and ends
// when it is asked to.
func (s *subject) goesOn(t *testing.T, r *row) {
	t.Helper()
	if s.phase != ending {
		e, ok := s.find("ready")
		if !ok {
			e = s.ready()
		}
		left := poll(patience, func() string {
			code, text := get(t, e.URL)
			if code == 200 {
				return ""
			}
			return text
		})
		if left != "" {
			t.Errorf("the URL does not answer: %s\n%s", left, s)
		}
		t.Logf("measured: %s: the URL answers %v after all was back", s.tag, time.Since(r.healed).Round(100*time.Millisecond))
		s.signal(syscall.SIGINT)
	}
	if code := s.exit(patience + 30*time.Second); code != 0 {
		t.Errorf("exit code %d\n%s", code, s)
	}
	// Each of the runner's events came once.
	for _, name := range []string{"granted", "started", "ready"} {
		n := 0
		for _, e := range s.events() {
			if e.Event == name {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s came %d times\n%s", name, n, s)
		}
	}
	if !slices.ContainsFunc(s.events(), func(e event) bool { return e.Event == "ended" }) {
		t.Errorf("it did not say that it ended\n%s", s)
	}
}
