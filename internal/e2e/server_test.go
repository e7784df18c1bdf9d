//go:build lab

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestServerEnds: the server's own end is the session's, told with its code.
func TestServerEnds(t *testing.T) {
	for _, c := range []struct{ name, quit string }{{"with-0", "0"}, {"with-3", "3"}} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			s := serve(t, nil)
			e := s.ready()
			_, _ = get(t, e.URL+"quit?code="+c.quit)
			if c.quit == "0" {
				says(t, s.end(0).Reason, "server")
			} else {
				says(t, s.failure(5, "server").Message, c.quit)
			}
			if left := aliceJobs(t); left != "" {
				t.Errorf("left in the queue: %s", left)
			}
		})
	}
}

// TestServerFailsToStart: the ways in which there is never anything to reach.
// The last lines of its log are shown on a terminal.
func TestServerFailsToStart(t *testing.T) {
	for _, c := range []struct {
		name    string
		flags   []string
		command []string
		problem string
		says    []string
	}{
		{"exits-at-once", nil, []string{lab.testserver, "-exit", "7", "x"}, "server", []string{"7"}},
		{"exits-with-0", nil, []string{lab.testserver, "-exit", "0", "x"}, "server", nil},
		{"not-a-command", nil, []string{"/nosuch/server"}, "server-setup", []string{"/nosuch/server"}},
		{"not-executable", nil, []string{"/etc/passwd"}, "server-setup", []string{"/etc/passwd"}},
		{"never-listens", []string{"--start-timeout", "3s"}, []string{"sleep", "600"}, "start-timeout", []string{"listen"}},
		{"conda-of-interactive-shells", nil, []string{"conda", "run", "jupyter"}, "server-setup", []string{"conda", "interactive shells"}},
		{"module-of-interactive-shells", []string{"--setup", "module load x"}, []string{lab.testserver, "127.0.0.1:{port}"}, "server-setup", []string{"module", "interactive shells"}},
		{"setup-fails", []string{"--setup", "false"}, []string{lab.testserver, "127.0.0.1:{port}"}, "server-setup", []string{"setup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			words := append(append([]string{"run"}, c.flags...), "--")
			s := cscs(t, append(words, c.command...)...)
			e := s.failure(5, c.problem)
			says(t, e.Message+" "+e.Hint, c.says...)
			if left := aliceJobs(t); left != "" {
				t.Errorf("left in the queue: %s", left)
			}
		})
	}
}

// TestServerLastWordsOnTerminal: what the server said before it failed.
func TestServerLastWordsOnTerminal(t *testing.T) {
	begin(t)
	m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", lab.testserver, "-exit", "7", "x")
	m.expect("last words of testserver")
	if code := m.exit(patience); code != 5 {
		t.Errorf("exit code %d", code)
	}
}

// TestServerLog: the log comes to the laptop whole, whatever is in it.
func TestServerLog(t *testing.T) {
	begin(t)
	s := serve(t, nil, "-binary")
	s.ready()
	closeReady(t, s)
	log := lastLog(t)
	for i := range 256 {
		if !strings.Contains(log, string([]byte{byte(i)})) {
			t.Errorf("byte %d is missing", i)
		}
	}
	says(t, log, "testserver alice listens")
	// What goes to people and programs is clean.
	for _, out := range []string{s.stdout.String(), s.stderr.String()} {
		if !utf8.ValidString(out) || strings.Contains(out, "\x1b]0;owned") {
			t.Errorf("the server's bytes got through: %q", out)
		}
	}
}

// TestServerFloodsItsLog: the log is capped, the newest kept, and the server not held up.
func TestServerFloodsItsLog(t *testing.T) {
	begin(t)
	s := serve(t, nil, "-flood", "200")
	s.ready()
	if n := clusterUsage(t); n > 140<<20 {
		t.Errorf("the flood takes %d MiB on the cluster", n>>20)
	}
	closeReady(t, s)
	log := lastLog(t)
	if len(log) > 65<<20 {
		t.Errorf("the log on the laptop has %d MiB", len(log)>>20)
	}
	says(t, log[max(0, len(log)-4096):], "the flood is over", "testserver alice listens")
}

func clusterUsage(t *testing.T) int64 {
	t.Helper()
	kib, _, _ := strings.Cut(output(t, "alice", "daint", "du", "-sk", ".cscs"), "\t")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// TestServerDaemonises: the command returns and a child of its own session
// serves on: it is found, used, and ended.
func TestServerDaemonises(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--nodelist", "nid001001"}, "-daemonise")
	if code, body := get(t, s.ready().URL); code != http.StatusOK || !strings.HasPrefix(body, "alice") {
		t.Errorf("GET: %d %s", code, body)
	}
	if n := len(userListeners("nid001001")); n != 1 {
		t.Errorf("%d listeners on the node, want the server's", n)
	}
	began := time.Now()
	closeReady(t, s)
	// It ends on SIGTERM: its grace is not waited out.
	if d := time.Since(began); d > 8*time.Second {
		t.Errorf("its end took %v", d)
	}
	// The job is gone when cscs says so, and with it what was in it.
	if left := userListeners("nid001001"); len(left) > 0 {
		t.Errorf("listeners are left: %v", left)
	}
	for _, p := range userProcesses() {
		if strings.Contains(p.cmdline, "testserver") {
			t.Errorf("left on %s: %s", p.host, p.cmdline)
		}
	}
}

// TestServerIsAskedOnce: one SIGTERM, no more, since to some servers a second one means
// "at once"; and then the time to end in its own way.
func TestServerIsAskedOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"bare-node", nil},
		{"uenv", []string{"--uenv", "prgenv-gnu/24.11:v1", "--view", "default"}},
		{"container", []string{"--environment", "./mine.toml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			edf(t, "mine.toml", "image = '"+bareImage+"'\nmounts = ['/home/testserver:/home/testserver']\n")
			s := serve(t, c.flags, "-linger", "6s")
			s.ready()
			closeReady(t, s)
			log := lastLog(t)
			if n := strings.Count(log, "testserver: SIGTERM\n"); n != 1 {
				t.Errorf("the server got SIGTERM %d times", n)
			}
			if !strings.Contains(log, "testserver: finished\n") {
				t.Errorf("the server was not let finish:\n%s", log)
			}
		})
	}
}

// TestServerJobEnds: the job is taken away, and it is told how.
func TestServerJobEnds(t *testing.T) {
	t.Run("scancel", func(t *testing.T) {
		begin(t)
		s := serve(t, nil)
		s.ready()
		g, _ := s.find("granted")
		output(t, "root", "daint", "scancel", g.Job)
		says(t, s.failure(4, "job-ended").Message, "cancel")
	})
	t.Run("scancel-while-starting", func(t *testing.T) {
		begin(t)
		s := cscs(t, "run", "--", "sleep", "600")
		s.wait("started")
		g, _ := s.find("granted")
		output(t, "root", "daint", "scancel", g.Job)
		s.failure(4, "job-ended")
	})
	// The runner is killed, and with it what guards the job.
	t.Run("step-killed", func(t *testing.T) {
		begin(t)
		s := serve(t, nil)
		s.ready()
		g, _ := s.find("granted")
		// A step that dies before its second pulse is taken for one that did not survive its srun.
		pulse := clusterHome(".cscs/daint", g.Session, "pulse")
		if young := poll(patience, func() string {
			if beat := strings.TrimSpace(readFile(t, pulse)); beat < "0000000003" {
				return beat
			}
			return ""
		}); young != "" {
			t.Fatalf("the runner's pulse stands at %s", young)
		}
		output(t, "root", "daint", "scancel", "--signal=KILL", g.Job+".0")
		says(t, s.failure(5, "server").Message, "killed")
	})
	// Slurm takes its time for both: they are waited for together.
	t.Run("time-limit-and-node-failure", func(t *testing.T) {
		begin(t)
		timed := serve(t, []string{"--nodelist", "nid001001", "--time", "1"})
		doomed := serve(t, []string{"--nodelist", "nid001003"})
		timed.ready()
		doomed.ready()
		t.Cleanup(func() { bootNode(t, "nid001003") })
		tell(t, "crash", "nid001003")
		timed.exitAfter(150 * time.Second)
		limit := timed.failure(4, "job-ended")
		says(t, limit.Message, "time limit")
		says(t, limit.Hint, "more time", "--time")
		doomed.exitAfter(150 * time.Second)
		says(t, doomed.failure(4, "job-ended").Message, "nid001003")
	})
}

// exitAfter is exit for what takes Slurm its own long time.
func (s *session) exitAfter(limit time.Duration) {
	s.t.Helper()
	_ = s.exit(limit)
}

// bootNode brings a crashed node back, and waits until Slurm uses it again.
func bootNode(t *testing.T, node string) {
	t.Helper()
	tell(t, "boot", node)
	_, _ = try(t, "root", "daint", "scontrol", "update", "nodename="+node, "state=resume")
	if left := poll(patience, func() string {
		out, _ := try(t, "root", "daint", "sinfo", "-h", "-p", "normal", "-n", node, "-o", "%T")
		return strings.TrimPrefix(out, "idle")
	}); left != "" {
		t.Errorf("%s does not come back: %s", node, left)
	}
}

// about asks the test server what it was given.
func about(t *testing.T, url string) map[string]string {
	t.Helper()
	_, body := get(t, url+"about")
	told := map[string]string{}
	for line := range strings.Lines(body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		told[name] = value
	}
	return told
}

// TestServerSeesTheAllocation: all CPUs, all GPUs and all memory of the job, on the
// bare node and in a step of its own.
func TestServerSeesTheAllocation(t *testing.T) {
	whole := strings.Fields(output(t, "alice", "daint", "sinfo", "-h", "-n", lab.Nodes[0], "-p", "normal", "-o", "%c"))[0]
	for _, c := range []struct {
		name   string
		flags  []string
		cpus   string
		gpus   int
		memory string
	}{
		{"whole-node", []string{"--gpus", "4"}, whole, 4, "8000M"},
		// A job that has a node to itself has all of it, whatever it asked for.
		{"more-than-asked", []string{"--gpus", "2", "--mem", "3000M"}, whole, 4, "3000M"},
		{"part-of-a-node", append([]string{"--gpus", "2", "--mem", "3000M"}, onShared...), "1", 2, "3000M"},
		{"sbatch", []string{"--via", "sbatch", "--gpus", "4"}, whole, 4, "8000M"},
		{"sbatch-more-than-asked", []string{"--via", "sbatch", "--gpus", "2", "--mem", "3000M"}, whole, 4, "3000M"},
		{"sbatch-part-of-a-node", append([]string{"--via", "sbatch", "--gpus", "2", "--mem", "3000M"}, onShared...), "1", 2, "3000M"},
		{"sbatch-uenv", []string{"--via", "sbatch", "--gpus", "4", "--uenv", "prgenv-gnu/24.11:v1", "--view", "default"}, whole, 4, "8000M"},
		{"uenv", []string{"--gpus", "4", "--uenv", "prgenv-gnu/24.11:v1", "--view", "default"}, whole, 4, "8000M"},
		{"environment", []string{"--gpus", "4", "--environment", "mine"}, whole, 4, "8000M"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			mkdir(t, clusterHome(".edf"))
			edf(t, ".edf/mine.toml", "image = '"+bareImage+"'\nmounts = ['/home/testserver:/home/testserver']\n")
			s := serve(t, c.flags)
			told := about(t, s.ready().URL)
			if n := countList(t, told["cpus"]); strconv.Itoa(n) != c.cpus {
				t.Errorf("the server sees CPUs %s, the job has %s", told["cpus"], c.cpus)
			}
			if n := len(strings.Split(told["gpus"], ",")); told["gpus"] == "" || n != c.gpus {
				t.Errorf("the server sees GPUs %q, the job has %d", told["gpus"], c.gpus)
			}
			// The lab has no cgroups: what a step may use is what Slurm says of it.
			g, _ := s.find("granted")
			if got := memory(t, "job", g.Job); got != c.memory {
				t.Errorf("the job has %q of memory, want %s", got, c.memory)
			}
			if got := memory(t, "step", told["step"]); got != c.memory {
				t.Errorf("the server's step %s may use %q of memory, the job has %s", told["step"], got, c.memory)
			}
			closeReady(t, s)
		})
	}
}

// memory is that of a job or of a step, by what Slurm gave it.
func memory(t *testing.T, kind, id string) string {
	t.Helper()
	said := output(t, "root", "daint", "scontrol", "--oneliner", "show", kind, id)
	m := regexp.MustCompile(` (?:Alloc)?TRES=\S*\bmem=([^,\s]+)`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no memory in %s", said)
	}
	return m[1]
}

// countList counts what a list such as 0-3,8 has.
func countList(t *testing.T, list string) int {
	t.Helper()
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		var from, to int
		if c, _ := fmt.Sscanf(part, "%d-%d", &from, &to); c == 1 {
			to = from
		}
		n += to - from + 1
	}
	return n
}

// TestServerEnvironment: the login environment, and each flag that adds to it.
func TestServerEnvironment(t *testing.T) {
	begin(t)
	mkdir(t, clusterHome("work"))
	put(t, clusterHome("setup.sh"), "export FROM_SETUP='a b'\n", 0o644)
	s := serve(t, []string{"--workdir", "work", "--setup", "source ~/setup.sh", "--env", "MINE=x=y z", "--venv", lab.Env["LAB_VENV"]})
	url := s.ready().URL
	if dir := about(t, url)["dir"]; dir != "/home/alice/work" {
		t.Errorf("it runs in %s", dir)
	}
	_, env := get(t, url+"env")
	for _, want := range []string{"FROM_SETUP=a b", "MINE=x=y z", "CLUSTER_NAME=daint", "VIRTUAL_ENV=" + lab.Env["LAB_VENV"], "PORT="} {
		if !strings.Contains("\n"+env, "\n"+want) {
			t.Errorf("%s is missing in\n%s", want, env)
		}
	}
	if !regexp.MustCompile(`(?m)^PATH=` + lab.Env["LAB_VENV"] + `/bin:`).MatchString(env) {
		t.Error("the venv is not first in PATH")
	}
	closeReady(t, s)
}

// TestServerInUenvAndContainer: srun's options of CSCS, by the lab's plugin.
func TestServerInUenvAndContainer(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		env   []string
	}{
		{"uenv", []string{"--uenv", "prgenv-gnu/24.11:v1", "--view", "default"}, []string{"UENV_NAME=prgenv-gnu/24.11:v1", "UENV_VIEW=default"}},
		{"environment", []string{"--environment", "mine"}, []string{"PATH=/bin\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			if c.name == "environment" {
				mkdir(t, clusterHome(".edf"))
				edf(t, ".edf/mine.toml", "image = '"+bareImage+"'\nmounts = ['/home/testserver:/home/testserver']\n")
			}
			s := serve(t, c.flags)
			_, env := get(t, s.ready().URL+"env")
			for _, want := range c.env {
				if !strings.Contains("\n"+env, "\n"+want) {
					t.Errorf("%s is missing in\n%s", want, env)
				}
			}
			closeReady(t, s)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		begin(t)
		s := serve(t, []string{"--uenv", "nosuch"})
		e := s.failure(5, "server-setup")
		says(t, e.Message+" "+e.Hint, "no uenv matches")
	})
}

// TestServerSitePresets: what a site presets for Slurm's commands changes nothing. (The
// lab's own preset some; these are as bad as they can be.) It stands where sshd's exec
// shell reads it, too: at the top of ~/.bashrc.
func TestServerSitePresets(t *testing.T) {
	begin(t)
	put(t, clusterHome(".bashrc"), strings.Join([]string{
		"export SQUEUE_FORMAT=%i SQUEUE_FORMAT2=jobid SQUEUE_STATES=COMPLETED SQUEUE_SORT=-i SQUEUE_PARTITION=debug SQUEUE_USERS=root",
		"export SINFO_FORMAT=%N SLURM_TIME_FORMAT='%%' SCONTROL_ALL=1",
		"export SLURM_JOB_NAME=x SLURM_OVERLAP=0 SLURM_EXACT=1 SLURM_NTASKS=3",
		"export SCANCEL_STATE=PENDING SCANCEL_INTERACTIVE=1 SCANCEL_PARTITION=debug",
		""}, "\n")+readFile(t, clusterHome(".bashrc")), 0o644)
	// They do reach what sshd runs for her.
	sees, err := try(t, "alice", "laptop", "ssh", "-i", "/home/alice/.ssh/cscs-key",
		"-o", "UpdateHostKeys=no", "-o", "ProxyCommand=ssh -i /home/alice/.ssh/cscs-key -o UpdateHostKeys=no -W %h:%p ela.cscs.ch", "daint.alps.cscs.ch", "env")
	if err != nil || !strings.Contains(sees, "SCANCEL_STATE=PENDING\n") {
		t.Fatalf("a command of alice's on daint does not see them: %v\n%s", err, sees)
	}
	s := serve(t, nil)
	s.ready()
	closeReady(t, s)
}

// TestServerSeveralNodes: the server is on the first of them, and all are named.
func TestServerSeveralNodes(t *testing.T) {
	begin(t)
	settle(t)
	s := serve(t, []string{"--nodes", "3"})
	s.ready()
	g, _ := s.find("granted")
	if want := lab.Nodes; !slices.Equal(g.Nodes, want) || g.Node != want[0] {
		t.Errorf("nodes %v, first %s", g.Nodes, g.Node)
	}
	closeReady(t, s)
}

// TestServerDirectoryIsPrivate: while it runs, alice alone may look into
// the session's directory.
func TestServerDirectoryIsPrivate(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	s.ready()
	info, err := os.Stat(clusterHome(".cscs"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("~/.cscs is %v", info.Mode())
	}
	closeReady(t, s)
}
