//go:build lab

package e2e

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The server, and what is started from it, sees what the user's own shell in that allocation
// would see (invariant I12).

// ownVariables differ between any two steps, or are the session's own. The addresses of srun
// are of one that has gone. 22.05 names the controller and the nodes of a cloud once more.
var ownVariables = regexp.MustCompile(`^(CSCS_SESSION|PORT|_|SHLVL|PWD|OLDPWD|SLURM_JOB_?ID|SLURM_JOB_SLUID|SLURM_JOB_(START|END)_TIME|` +
	`SLURM_STEP_?ID|SLURM_TASK_PID|SLURM_SRUN_COMM_(HOST|PORT)|SLURM_STEP_LAUNCHER_PORT|SLURM_LAUNCH_NODE_IPADDR|SRUN_DEBUG|SLURMD_DEBUG|SLURM_NODE_ALIASES|SLURM_WORKING_CLUSTER|SLURM_MPI_TYPE|SSH_.*)$`)

// variables reads what "env -0" has printed into a file in the directory seen of alice's on the
// cluster, without those that ownVariables matches.
func variables(t *testing.T, file string) map[string]string {
	t.Helper()
	all := environment(t, file)
	maps.DeleteFunc(all, func(name, _ string) bool { return ownVariables.MatchString(name) })
	return all
}

// environment reads the same with all of its variables.
func environment(t *testing.T, file string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range strings.Split(seenFile(t, file), "\x00") {
		if name, value, ok := strings.Cut(s, "="); ok {
			all[name] = value
		}
	}
	if all["HOME"] == "" {
		t.Fatalf("%s holds no environment: %v", file, all)
	}
	return all
}

// seenFile is what a file in the directory seen of alice's on the cluster holds.
func seenFile(t *testing.T, file string) string {
	t.Helper()
	return readFile(t, clusterHome("seen", file))
}

// beginSeen is begin, with an empty directory seen for the length of the test.
func beginSeen(t *testing.T) {
	t.Helper()
	begin(t)
	mkdir(t, clusterHome("seen"))
	settle(t)
}

// inSession runs a script as the beginning of a session's server, until the session is ready,
// and ends the session.
func inSession(t *testing.T, script string, flags ...string) {
	t.Helper()
	words := append([]string{"run"}, flags...)
	s := cscs(t, append(words, "--", "sh", "-c", script+"; exec "+lab.testserver+" 127.0.0.1:{port}")...)
	s.ready()
	closeReady(t, s)
	settle(t)
}

// TestEnvironmentOfTheServer: the variables, the umask and the directory are those of the
// interactive shell that salloc starts on the first node, whatever was asked for.
func TestEnvironmentOfTheServer(t *testing.T) {
	for _, options := range [][]string{
		{"--nodes=2"},
		{"--nodes=2", "--ntasks=3"},
		{"--nodes=2", "--ntasks-per-node=1"},
		{"--ntasks=1", "--cpus-per-task=2"},
		{"--nodes=1", "--mem=1G", "--gpus=2"},
		{"--partition=shared", "--ntasks=1", "--gpus=1"},
		{"--nodes=2", "-sn3"},
		{"--nodes=2", "--tasks-per-node=1"},
		{"--nodes=1", "-n1", "--cpus-per-t=2"},
	} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			beginSeen(t)
			see := "{ env -0 >seen/env.%[1]s; umask; pwd; ulimit -c; } >seen/rest.%[1]s 2>&1"
			write(t, clusterHome("seen", "see.sh"), fmt.Sprintf(see, "shell")+"\n")
			output(t, "alice", "daint", "bash", "--login", "-c", "salloc --quiet --nodelist="+lab.Nodes[0]+" "+strings.Join(options, " ")+
				" srun --interactive --preserve-env sh seen/see.sh")
			settle(t)
			for _, via := range []string{"salloc", "sbatch"} {
				t.Run(via, func(t *testing.T) {
					flags := []string{"--via", via, "--nodelist", lab.Nodes[0]}
					for _, o := range options {
						flags = append(flags, "--slurm="+o)
					}
					inSession(t, fmt.Sprintf(see, via), flags...)
					shell, server := variables(t, "env.shell"), variables(t, "env."+via)
					if diff := cmp.Diff(onlySlurm(shell), onlySlurm(server)); diff != "" {
						t.Errorf("Slurm's variables (-shell +server):\n%s", diff)
					}
					if diff := cmp.Diff(seenFile(t, "rest.shell"), seenFile(t, "rest."+via)); diff != "" {
						t.Errorf("umask, directory and core limit (-shell +server):\n%s", diff)
					}
				})
			}
		})
	}
}

// onlySlurm are the variables that Slurm sets, or reads.
func onlySlurm(all map[string]string) map[string]string {
	some := map[string]string{}
	for name, value := range all {
		for _, prefix := range []string{"SLURM", "SRUN", "SBATCH", "SALLOC", "SQUEUE", "SINFO", "PMI", "CUDA", "ROCR", "GPU", "ZE_"} {
			if strings.HasPrefix(name, prefix) {
				some[name] = value
			}
		}
	}
	return some
}

// TestEnvironmentOfJobs: an srun in the session reaches every node of the allocation, and a job
// that is submitted from it is as one that is submitted from the login node.
func TestEnvironmentOfJobs(t *testing.T) {
	beginSeen(t)
	job := "sbatch --quiet --wait --partition=shared --ntasks=1 --output=/dev/null --wrap='env -0 >seen/env.%[1]s; umask >seen/umask.%[1]s'"
	output(t, "alice", "daint", "bash", "--login", "-c", fmt.Sprintf(job, "login"))
	for _, via := range []string{"salloc", "sbatch"} {
		t.Run(via, func(t *testing.T) {
			inSession(t, "srun hostname >seen/hosts."+via+"; "+fmt.Sprintf(job, via), "--via", via, "--nodes", "2")
			if hosts := strings.Fields(seenFile(t, "hosts."+via)); len(slices.Compact(slices.Sorted(slices.Values(hosts)))) != 2 {
				t.Errorf("srun hostname printed %q", hosts)
			}
			login, session := variables(t, "env.login"), variables(t, "env."+via)
			for _, name := range []string{"SLURM_SUBMIT_HOST", "SLURM_NODELIST", "SLURM_JOB_NODELIST", "SLURMD_NODENAME", "SLURM_TOPOLOGY_ADDR"} {
				login[name], session[name] = "", ""
			}
			// A shell in an allocation hands these on as well; Slurm's commands do not read them.
			for _, name := range []string{"SLURM_STEP_NODELIST", "SLURM_STEP_NUM_NODES", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE", "SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0", "SLURM_JOB_GROUP"} {
				delete(session, name)
			}
			if diff := cmp.Diff(onlySlurm(login), onlySlurm(session)); diff != "" {
				t.Errorf("the job's variables (-from the login node +from the session):\n%s", diff)
			}
			if a, b := seenFile(t, "umask.login"), seenFile(t, "umask."+via); a != b {
				t.Errorf("the job's umask is %q from the session and %q from the login node", b, a)
			}
		})
	}
}

// TestEnvironmentPresets: what a site and a user preset for their commands reaches the server.
func TestEnvironmentPresets(t *testing.T) {
	beginSeen(t)
	put(t, clusterHome(".bashrc"), "export SLURM_HINT=multithread SQUEUE_SORT=i; umask 027\n", 0o644)
	inSession(t, "env -0 >seen/env.server; touch seen/made")
	got := variables(t, "env.server")
	want := variablesOf(t, "bash -l -c '. ~/.bashrc; env -0'")
	for _, name := range []string{"SLURM_HINT", "SQUEUE_SORT", "SQUEUE_FORMAT", "SLURM_TIME_FORMAT", "SINFO_FORMAT"} {
		if got[name] != want[name] || want[name] == "" {
			t.Errorf("%s is %q in the server and %q in a login shell", name, got[name], want[name])
		}
	}
	if mode := output(t, "alice", "daint", "stat", "-c", "%a", "seen/made"); mode != "640" {
		t.Errorf("a file that the server makes has mode %s", mode)
	}
}

// variablesOf is the environment that a command of alice's on the login node prints with env -0.
func variablesOf(t *testing.T, command string) map[string]string {
	t.Helper()
	output(t, "alice", "daint", "sh", "-c", "exec >seen/env.login; "+command)
	return variables(t, "env.login")
}

// TestEnvironmentOfLightning: PyTorch Lightning's own code does not take the session for a batch
// job, for whose other ranks it would wait.
func TestEnvironmentOfLightning(t *testing.T) {
	beginSeen(t)
	// The package itself would import torch; its detection of Slurm does not need it.
	write(t, clusterHome("seen", "lightning.py"), `
import importlib, importlib.util, sys, types
root = importlib.util.find_spec("lightning_fabric").submodule_search_locations[0]
for name in "", ".plugins", ".plugins.environments", ".utilities":
    m = types.ModuleType("lightning_fabric" + name)
    m.__path__ = [root + name.replace(".", "/")]
    sys.modules["lightning_fabric" + name] = m
slurm = importlib.import_module("lightning_fabric.plugins.environments.slurm")
print(slurm.SLURMEnvironment.detect())
`)
	detect := lab.Env["LAB_VENV"] + "/bin/python seen/lightning.py >seen/detected.%s 2>/dev/null"
	inSession(t, fmt.Sprintf(detect, "session"), "--nodes", "2")
	// The same code does see a job that has ranks.
	output(t, "alice", "daint", "sbatch", "--wait", "--ntasks=2", "--output=/dev/null", "--wrap", "srun --ntasks=1 "+fmt.Sprintf(detect, "batch"))
	if session, batch := strings.TrimSpace(seenFile(t, "detected.session")), strings.TrimSpace(seenFile(t, "detected.batch")); session != "False" || batch != "True" {
		t.Errorf("detected in the session: %s; in a batch job: %s", session, batch)
	}
}

// TestJobsOfTheUserStay: at the end of a session, a job that was submitted from it goes on, on the
// same node, and so does a job with the name of a session.
func TestJobsOfTheUserStay(t *testing.T) {
	begin(t)
	settle(t)
	words := []string{"run", "--partition", "shared", "--slurm=--ntasks=1", "--nodelist", lab.Nodes[0], "--", "sh", "-c",
		`sbatch --quiet --job-name="$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%j)"` +
			" --partition=shared --ntasks=1 --nodelist=" + lab.Nodes[0] + " --output=/dev/null --wrap='setsid sleep 1000 & exec sleep 1001'; exec " + lab.testserver + " 127.0.0.1:{port}"}
	s := cscs(t, words...)
	s.ready()
	named := submitAs(t, "alice", "cscs-abcdefgh", "-N1", "--partition=shared", "--ntasks=1")
	running := func() string {
		return output(t, "alice", "daint", "squeue", "--me", "--noheader", "--states=R", "--format=%i %j %T", "--sort=i")
	}
	sleeps := func() string {
		out, _ := try(t, "root", lab.Nodes[0], "pgrep", "-u", "alice", "-x", "sleep")
		return out
	}
	started := poll(30*time.Second, func() string {
		if strings.Count(running(), "\n") == 2 && strings.Count(sleeps(), "\n") >= 1 {
			return ""
		}
		return running() + sleeps()
	})
	if started != "" {
		t.Fatalf("the jobs do not run: %s", started)
	}
	pids := sleeps()
	closeReady(t, s)
	left := running()
	if strings.Count(left, "\n") != 1 || !strings.Contains(left, named) || sleeps() != pids {
		t.Errorf("jobs left: %s; processes %q, before %q", left, sleeps(), pids)
	}
	for _, line := range strings.Split(left, "\n") {
		cancelJob(t, strings.Fields(line)[0])
	}
}

// submitAs submits a job that sleeps and returns its number.
func submitAs(t *testing.T, user, name string, options ...string) string {
	t.Helper()
	job := output(t, user, "daint", append([]string{"sbatch", "--parsable", "--job-name=" + name, "--output=/dev/null", "--wrap=exec sleep 1002"}, options...)...)
	t.Cleanup(func() { _, _ = as(context.Background(), "root", "daint", "scancel", job).CombinedOutput() })
	return job
}
