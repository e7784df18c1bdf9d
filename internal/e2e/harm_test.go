//go:build lab

package e2e

import (
	"strings"
	"testing"
	"time"
)

// troubleHome gives a host of the cluster a home that is read-only or lost, until the test ends or
// the returned function is called.
func troubleHome(t *testing.T, verb, host string) (end func()) {
	t.Helper()
	over := false
	end = func() {
		if !over {
			over = true
			tell(t, verb, "off", host)
		}
	}
	t.Cleanup(end)
	tell(t, verb, "on", host)
	return end
}

// brief is a session with a lease that is shorter than users may have.
func brief(t *testing.T, lease string, flags ...string) *session {
	t.Helper()
	words := append([]string{"CSCS_LEASE_FLOOR=5s", "run", "--lease", lease}, flags...)
	return cscs(t, append(words, "--", lab.testserver, "127.0.0.1:{port}")...)
}

// TestAwayLeaseUnwritable: the login node cannot write the lease (a read-only or full home). That is
// told at once, and the client renews over the node: the job outlives its lease by far.
func TestAwayLeaseUnwritable(t *testing.T) {
	begin(t)
	sessions := map[*session]string{} // to their URLs
	for _, via := range []string{"salloc", "sbatch"} {
		s := brief(t, "20s", "--via", via)
		sessions[s] = s.ready().URL
	}
	writable := troubleHome(t, "readonly-home", "daint")
	for s := range sessions {
		says(t, s.wait("warning").Message, "lease", "Read-only", lab.Nodes[0][:3])
	}
	// Three leases, each longer than the runner would wait for.
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		for s, url := range sessions {
			if e, ok := s.await(2*time.Second, "warning", "ended", "lost"); ok {
				t.Fatalf("%s: %s%s", e.Event, e.Message, e.Reason)
			}
			if code, body := get(t, url); code != 200 {
				t.Fatalf("%d %s", code, body)
			}
		}
	}
	writable()
	for s := range sessions {
		says(t, s.wait("warning").Message, "can write the lease again")
	}
	for s := range sessions {
		closeReady(t, s)
	}
}

// TestAwayLeaseOfTheDead: without a client, nothing renews the lease over the node either.
func TestAwayLeaseOfTheDead(t *testing.T) {
	begin(t)
	s := brief(t, "6s")
	s.ready()
	writable := troubleHome(t, "readonly-home", "daint")
	s.wait("warning")
	killClient(t, s)
	if left := poll(40*time.Second, func() string { return aliceJobs(t) }); left != "" {
		t.Errorf("still there: %s", left)
	}
	writable()
	forgetSessions(t)
}

// TestAwayHome: the login node loses the home directory's mount, and our command there dies. The
// session goes on, for longer than a session is kept that was removed, and ends as asked.
func TestAwayHome(t *testing.T) {
	begin(t)
	s := brief(t, "30s")
	url := s.ready().URL
	found := troubleHome(t, "lose-home", "daint")
	killOnLogin(t)
	says(t, s.wait("warning").Message, "again")
	for end := time.Now().Add(130 * time.Second); time.Now().Before(end); {
		if e, ok := s.await(5*time.Second, "ending", "ended"); ok {
			t.Fatalf("%s: %s", e.Event, e.Reason)
		}
	}
	if code, body := get(t, url); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	found()
	closeReady(t, s)
}

// TestMainPreempted: a job that Slurm preempts, with a grace time, is reported as preempted.
func TestMainPreempted(t *testing.T) {
	for _, via := range []string{"salloc", "sbatch"} {
		t.Run(via, func(t *testing.T) {
			begin(t)
			settle(t)
			s := serve(t, []string{"--via", via, "--partition", "preempt", "--nodelist", lab.Nodes[0]})
			s.ready()
			g, _ := s.find("granted")
			job := submitAs(t, "alice", "urgent-work", "--partition=urgent", "--nodelist="+lab.Nodes[0])
			e := s.failure(4, "job-ended")
			says(t, e.Message, "preempted", g.Job)
			if left := poll(time.Minute, func() string {
				if state := jobState(t, job); state != "RUNNING" {
					return state
				}
				return ""
			}); left != "" {
				t.Errorf("the other job is %q", left)
			}
			cancelJob(t, job)
		})
	}
}

// TestMainRequeued: a job that an administrator puts back into the queue has lost its server: the
// session says so, and takes the job out of the queue.
func TestMainRequeued(t *testing.T) {
	for _, how := range []string{"requeue", "requeuehold"} {
		t.Run(how, func(t *testing.T) {
			begin(t)
			s := serve(t, []string{"--via", "sbatch"})
			s.ready()
			g, _ := s.find("granted")
			output(t, "root", "daint", "scontrol", "update", "jobid="+g.Job, "requeue=1")
			output(t, "root", "daint", "scontrol", how, g.Job)
			says(t, s.failure(4, "job-ended").Message, "queue", g.Job)
			if state := jobState(t, g.Job); state != "" && state != "COMPLETING" {
				t.Errorf("job %s is %s", g.Job, state)
			}
		})
	}
}

// TestMainLaunchFails: Slurm grants a job and cannot launch it, since the node's prolog fails: it puts
// the job back into the queue, and holds it, or ends it. The session says so within a minute, and
// leaves nothing in the queue.
func TestMainLaunchFails(t *testing.T) {
	begin(t)
	settle(t)
	hosts := append([]string{"ctl"}, lab.Nodes...)
	const conf = "/etc/slurm/slurm.conf"
	t.Cleanup(func() {
		for _, h := range hosts {
			output(t, "root", h, "sed", "-i", "/^Prolog=/d", conf)
		}
		output(t, "root", "ctl", "scontrol", "reconfigure")
		resumeNodes(t)
	})
	for _, h := range hosts {
		output(t, "root", h, "sh", "-c", "echo Prolog=/bin/false >>"+conf)
	}
	output(t, "root", "ctl", "scontrol", "reconfigure")
	s := serve(t, []string{"--via", "sbatch"})
	s.failure(4, "job-ended")
	if left := aliceJobs(t); left != "" && !strings.Contains(left, "COMPLETING") {
		t.Errorf("in the queue: %s", left)
	}
}
