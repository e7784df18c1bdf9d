//go:build lab

package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// TestVia: the same session, to ready and back, however it is asked for; by default by salloc where
// there is a free node.
func TestVia(t *testing.T) {
	for via, batch := range map[string]string{"auto": "0", "salloc": "0", "sbatch": "1"} {
		t.Run(via, func(t *testing.T) {
			begin(t)
			settle(t) // beside a job that is completing, Slurm grants no request at once
			s := serve(t, []string{"--via", via})
			url := s.ready().URL
			if code, body := get(t, url); code != 200 {
				t.Errorf("%d %s", code, body)
			}
			if want := []string{"granted", "started", "ready"}; !isSubsequence(want, names(s.events())) {
				t.Errorf("events %v", names(s.events()))
			}
			g, _ := s.find("granted")
			says(t, output(t, "alice", "daint", "scontrol", "show", "job", g.Job), "BatchFlag="+batch)
			closeReady(t, s)
		})
	}
}

// TestViaSbatchEnvironment: the server's is what it has by salloc, but for the numbers.
func TestViaSbatchEnvironment(t *testing.T) {
	begin(t)
	number := regexp.MustCompile(`[0-9]+`)
	var seen [2][]string
	for i, via := range []string{"salloc", "sbatch"} {
		s := cscs(t, "run", "--via", via, "--nodelist", lab.Nodes[0], "--", "sh", "-c", "env >env.$0; exec "+lab.testserver+" 127.0.0.1:{port}", via)
		s.ready()
		closeReady(t, s)
		settle(t)
		for _, line := range strings.Split(output(t, "alice", "daint", "sort", "env."+via), "\n") {
			name, value, _ := strings.Cut(line, "=")
			switch name {
			case "CSCS_SESSION", "_", "SLURM_JOB_SLUID": // another for each
				continue
			case "SLURM_SRUN_COMM_HOST", "SLURM_LAUNCH_NODE_IPADDR": // that of srun
				value = ""
			}
			seen[i] = append(seen[i], name+"="+number.ReplaceAllString(value, "N"))
		}
		output(t, "alice", "daint", "rm", "env."+via)
	}
	for i, via := range []string{"salloc", "sbatch"} {
		for _, line := range seen[i] {
			if !slices.Contains(seen[1-i], line) {
				t.Errorf("only by %s: %s", via, line)
			}
		}
	}
}

// TestViaSbatchRefused: in Slurm's own words.
func TestViaSbatchRefused(t *testing.T) {
	begin(t)
	unallocated(t)
	says(t, serve(t, []string{"--via", "sbatch", "--partition", "nosuch"}).failure(4, "slurm-refused").Message, "invalid partition")
}

// TestViaSbatchCancelled: a job that somebody else cancels is told of as by salloc, when
// its server has had its time to end.
func TestViaSbatchCancelled(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--via", "sbatch"})
	s.ready()
	g, _ := s.find("granted")
	output(t, "root", "daint", "scancel", g.Job)
	says(t, s.failure(4, "job-ended").Message, "cancelled", g.Job)
}

// TestViaSallocForgotten: client and salloc are killed while the request waits. It leaves the
// queue at its deadline, by Slurm alone.
func TestViaSallocForgotten(t *testing.T) {
	begin(t)
	full(t)
	s := serve(t, []string{"--via", "salloc", "--time", "1", "--queue-timeout", "10s"})
	s.wait("queued")
	killClient(t, s)
	killOnLogin(t)
	if left := aliceJobs(t); !strings.Contains(left, "PENDING") {
		t.Errorf("in the queue is %q", left)
	}
	if left := poll(2*time.Minute, func() string { return aliceJobs(t) }); left != "" {
		t.Errorf("still there: %s", left)
	}
	forgetSessions(t)
}

// full has every node taken by somebody else, until the returned function is called.
func full(t *testing.T) (free func()) {
	t.Helper()
	settle(t)
	job := occupy(t, "mallory", "-N", fmt.Sprint(len(lab.Nodes)))
	return func() { cancelJob(t, job) }
}

// kept is a session whose request waits in Slurm alone.
func kept(t *testing.T, words ...string) (*session, func()) {
	t.Helper()
	free := full(t)
	s := cscs(t, append(words, "run", "--via", "sbatch", "--lease", "6s", "--", lab.testserver, "127.0.0.1:{port}")...)
	s.wait("queued")
	return s, free
}

// floor lets a lease be as short as kept's.
const floor = "CSCS_LEASE_FLOOR=5s"

// TestViaAuto: what has to wait waits in Slurm alone, keeps its number, and is granted when there
// is room.
func TestViaAuto(t *testing.T) {
	begin(t)
	free := full(t)
	s := serve(t, nil)
	q := s.wait("queued")
	if left := poll(patience, func() string {
		if on := loginCommand("salloc"); on != "" {
			return on
		}
		return loginCommand("sbatch")
	}); left != "" {
		t.Errorf("the request needs a process on the login node: %s", left)
	}
	free()
	if g := s.wait("granted"); g.Job != q.Job {
		t.Errorf("queued as job %s, granted as %s", q.Job, g.Job)
	}
	s.ready()
	closeReady(t, s)
}

// TestViaOneCommand: partitions that take requests of one of the two commands alone.
func TestViaOneCommand(t *testing.T) {
	for _, c := range []struct{ partition, batch, says string }{
		{"interactive", "0", ""},
		{"batch", "1", "salloc refuses what sbatch accepts (salloc: error: partition batch takes batch jobs alone"},
	} {
		t.Run(c.partition, func(t *testing.T) {
			begin(t)
			s := serve(t, []string{"--partition", c.partition})
			s.ready()
			g, _ := s.find("granted")
			says(t, output(t, "alice", "daint", "scontrol", "show", "job", g.Job), "BatchFlag="+c.batch)
			if c.says != "" {
				w, _ := s.find("warning")
				says(t, w.Message, c.says)
			}
			closeReady(t, s)
		})
	}
	t.Run("interactive-waits", func(t *testing.T) {
		begin(t)
		free := full(t)
		s := serve(t, []string{"--partition", "interactive"})
		says(t, s.wait("warning").Message, "sbatch refuses what salloc accepts (sbatch: error: partition interactive takes no batch jobs", "waits with salloc, on daint")
		s.wait("queued")
		free()
		s.ready()
		closeReady(t, s)
	})
	t.Run("neither", func(t *testing.T) {
		begin(t)
		unallocated(t)
		if e := serve(t, []string{"--partition", "nosuch"}).failure(4, "slurm-refused"); strings.Count(e.Message, "invalid partition") != 1 {
			t.Errorf("it says %q", e.Message)
		}
	})
}

// loginCommand is the command line of a process of alice's on the login node that runs the program.
func loginCommand(program string) string {
	for _, p := range userProcesses() {
		if name, _, _ := strings.Cut(p.cmdline, " "); p.host == "daint" && filepath.Base(name) == program {
			return p.cmdline
		}
	}
	return ""
}

// TestViaInterrupted: Ctrl-C while the request waits in Slurm alone takes it back.
func TestViaInterrupted(t *testing.T) {
	begin(t)
	s, _ := kept(t, floor)
	s.signal(syscall.SIGINT)
	s.end(130)
	if left := aliceJobs(t); left != "" {
		t.Errorf("cscs has ended, and in the queue is: %s", left)
	}
}

// TestViaClientKilled: the job of a client that was killed while it waited ends within
// seconds of its start.
func TestViaClientKilled(t *testing.T) {
	begin(t)
	s, free := kept(t, floor)
	killClient(t, s)
	if left := aliceJobs(t); !strings.Contains(left, "PENDING") {
		t.Errorf("in the queue is %q: the job went with its client", left)
	}
	waittest.SpendRealTime(14 * time.Second) // twice the lease, and a little
	free()
	if left := poll(15*time.Second, func() string { return squeue("COMPLETING") }); left != "" {
		t.Errorf("still there: %s", left)
	}
	says(t, output(t, "alice", "daint", "sh", "-c", "cat .cscs/daint/*/events"), "reason=lease", "when the job started")
	forgetSessions(t)
}

// TestViaNetworkCut: the line is cut while the request waits, for longer than the chain
// bears; the session goes on.
func TestViaNetworkCut(t *testing.T) {
	begin(t)
	free := full(t)
	s := serve(t, []string{"--via", "sbatch"})
	q := s.wait("queued")
	cut(t)
	if e, ok := s.await(2*patience, "lost", "ended"); !ok || e.Event != "lost" { // 75 s of silence
		t.Fatalf("no loss was told: %s", s.stdout)
	}
	tell(t, "heal")
	s.wait("restored")
	free()
	if g := s.wait("granted"); g.Job != q.Job {
		t.Errorf("queued as job %s, granted as %s", q.Job, g.Job)
	}
	s.ready()
	closeReady(t, s)
}

// TestViaLoginKilled: every process of alice's on the login node is killed while the
// request waits, and again when the job runs.
func TestViaLoginKilled(t *testing.T) {
	begin(t)
	free := full(t)
	s := serve(t, []string{"--via", "sbatch"})
	q := s.wait("queued")
	killOnLogin(t)
	s.wait("warning", "lost")
	free()
	if g := s.wait("granted"); g.Job != q.Job {
		t.Errorf("queued as job %s, granted as %s", q.Job, g.Job)
	}
	url := s.ready().URL
	killOnLogin(t)
	s.wait("warning", "lost")
	if left := poll(patience, func() string {
		if code, body := get(t, url); code != 200 {
			return body
		}
		return ""
	}); left != "" {
		t.Errorf("the server does not answer: %s", left)
	}
	closeReady(t, s)
}

// killClient kills cscs on the laptop.
func killClient(t *testing.T, s *session) {
	t.Helper()
	killed := 0
	for _, p := range userProcesses() {
		if p.host == "laptop" && strings.HasPrefix(p.cmdline, lab.bin+" run") && syscall.Kill(p.pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("no client was found")
	}
	s.exit(patience)
}

func killOnLogin(t *testing.T) {
	t.Helper()
	killed := 0
	for _, p := range userProcesses() {
		if p.host == "daint" && syscall.Kill(p.pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("no process of alice's was on the login node")
	}
}
