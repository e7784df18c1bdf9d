//go:build lab

package e2e

import (
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// presets are variables that Slurm's commands read (sbatch(1), salloc(1), srun(1), squeue(1),
// scancel(1), INPUT ENVIRONMENT VARIABLES), each with a value that makes a command of cscs
// fail, ask another cluster, print something else or write elsewhere.
var presets = []string{
	// Which cluster is asked.
	"SLURM_CLUSTERS=nosuch", "SBATCH_CLUSTERS=nosuch", "SALLOC_CLUSTERS=nosuch", "SLURM_WORKING_CLUSTER=nosuch:127.0.0.1:1:1",
	"SCONTROL_FEDERATION=1", "SQUEUE_FEDERATION=1", "SINFO_FEDERATION=1", "SCONTROL_SIBLING=1",
	// What the request is, and whether its command waits.
	"SBATCH_WAIT=1", "SBATCH_ARRAY_INX=1-3", "SBATCH_JOB_NAME=mine", "SBATCH_REQUEUE=1", "SBATCH_EXPORT=NONE", "SBATCH_OUTPUT=/nosuch/out",
	"SBATCH_ERROR=/nosuch/err", "SBATCH_INPUT=/nosuch/in", "SBATCH_OPEN_MODE=nosuch", "SBATCH_SIGNAL=B:KILL@3600", "SALLOC_SIGNAL=KILL@3600",
	"SBATCH_CONTAINER=/nosuch", "SALLOC_CONTAINER=/nosuch", "SBATCH_NO_KILL=1", "SALLOC_NO_KILL=1", "SALLOC_IMMEDIATE=1", "SALLOC_NO_BELL=1",
	"SALLOC_KILL_CMD=KILL", "SLURM_EXIT_ERROR=17", "SLURM_EXIT_IMMEDIATE=18",
	// What is printed, and where.
	"SLURM_LABELIO=1", "SLURM_STDOUTMODE=/tmp/out", "SLURM_STDERRMODE=/tmp/err", "SLURM_STDINMODE=none", "SRUN_OUTPUT=/tmp/out", "SRUN_ERROR=/tmp/err",
	"SLURM_OPEN_MODE=append", "SLURM_UNBUFFEREDIO=0", "SLURM_DEBUG=4", "SLURMD_DEBUG=4", "SBATCH_DEBUG=4", "SALLOC_DEBUG=4",
	"SLURM_DEBUG_FLAGS=Steps", "SLURM_TIME_FORMAT=relative", "SLURM_BITSTR_LEN=1", "SCANCEL_VERBOSE=true", "SCANCEL_INTERACTIVE=true",
	// Which jobs are meant.
	"SQUEUE_ALL=1", "SQUEUE_STATES=FAILED", "SQUEUE_USERS=mallory", "SQUEUE_NAMES=nosuch", "SQUEUE_PARTITION=down", "SQUEUE_SORT=-i", "SQUEUE_ARRAY=1",
	"SINFO_PARTITION=down", "SCANCEL_STATE=SUSPENDED", "SCANCEL_NAME=nosuch", "SCANCEL_PARTITION=down", "SCANCEL_USER=mallory", "SCANCEL_BATCH=true",
	"SLURM_JOB_ID=1", "SLURM_JOBID=1", "SLURM_JOB_NODELIST=nid[001002-001003]", "SLURM_NODELIST=nid[001002-001003]", "SLURM_HET_SIZE=2",
	// What the step is.
	"SLURM_NTASKS=7", "SLURM_NPROCS=7", "SLURM_JOB_NUM_NODES=3", "SLURM_NNODES=3", "SLURM_NTASKS_PER_NODE=7", "SLURM_CPUS_PER_TASK=999", "SRUN_CPUS_PER_TASK=999",
	"SLURM_TRES_PER_TASK=cpu:999", "SLURM_CPU_BIND=verbose,map_cpu:0", "SLURM_MEM_BIND=verbose,local", "SLURM_DISTRIBUTION=plane=3", "SLURM_MPI_TYPE=nosuch",
	"SLURM_EXCLUSIVE=1", "SLURM_EXACT=1", "SLURM_GRES=gpu:9", "SLURM_STEP_GRES=gpu:9", "SLURM_GPUS=99", "SLURM_THREADS_PER_CORE=9", "SLURM_MEM_PER_CPU=999999",
	"SLURM_CORE_SPEC=1", "SLURM_CONSTRAINT=nosuch", "SLURM_RESERVATION=nosuch", "SLURM_NETWORK=nosuch", "SLURM_PARTITION=down", "SLURM_TIMELIMIT=1",
	"SLURM_PROLOG=/bin/false", "SLURM_EPILOG=/bin/false", "SLURM_TASK_PROLOG=/nosuch", "SLURM_TASK_EPILOG=/nosuch", "SLURM_WORKING_DIR=/nosuch",
	"SLURM_REMOTE_CWD=/nosuch", "SLURM_EXPORT_ENV=NONE", "SRUN_EXPORT_ENV=NONE", "SLURM_SRUN_MULTI=1", "SLURM_TEST_EXEC=1", "SLURM_BCAST=/nosuch/x",
	"SRUN_CONTAINER=/nosuch", "SLURM_KILL_BAD_EXIT=1", "SLURM_WAIT=1", "SLURM_SIGNAL=KILL@3600", "SLURM_UMASK=0777", "SLURM_STEPMGR=nosuch",
	"SLURM_ARBITRARY_NODELIST=nosuch", "SLURM_DEPENDENCY=afterok:1",
}

// setPresets has the shells that sshd starts for alice on the cluster set all of them. The shells
// of a session's job do not: there, the server can have them from the login node only.
func setPresets(t *testing.T) {
	t.Helper()
	put(t, clusterHome(".bashrc"), "[ -n \"$CSCS_SESSION\" ] || export "+strings.Join(quoted(presets), " ")+"\n", 0o644)
}

func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = "'" + w + "'"
	}
	return out
}

// TestPresets: what a user presets for Slurm's commands bends none of those that cscs runs, and
// the server has it all the same.
func TestPresets(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"auto", nil},
		{"sbatch", []string{"--via", "sbatch"}},
		{"salloc", []string{"--via", "salloc"}},
		{"sbatch-uenv", []string{"--via", "sbatch", "--uenv", "prgenv-gnu/24.11:v1"}},
		{"salloc-uenv", []string{"--via", "salloc", "--uenv", "prgenv-gnu/24.11:v1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			setPresets(t)
			s := serve(t, append([]string{"--setup", "env >env.presets"}, c.flags...))
			url := s.ready().URL
			if code, body := get(t, url); code != 200 {
				t.Errorf("%d %s", code, body)
			}
			g, _ := s.find("granted")
			job := output(t, "root", "daint", "scontrol", "-o", "show", "job", g.Job)
			if !regexp.MustCompile(`^JobId=\d+ JobName=cscs-\S+ `).MatchString(job) || strings.Contains(job, "ArrayJobId") ||
				strings.Contains(job, "BatchFlag=1") && strings.Contains(job, " Requeue=1 ") {
				t.Errorf("the job is %s", job)
			}
			closeReady(t, s)
			seen := strings.Split(output(t, "alice", "daint", "cat", "env.presets"), "\n")
			output(t, "alice", "daint", "rm", "env.presets")
			// Of each kind of command's.
			for _, v := range []string{"SBATCH_WAIT=1", "SALLOC_NO_BELL=1", "SLURM_LABELIO=1", "SRUN_CONTAINER=/nosuch", "SQUEUE_USERS=mallory",
				"SCANCEL_NAME=nosuch", "SLURM_CLUSTERS=nosuch", "SLURM_TIME_FORMAT=relative"} {
				if !slices.Contains(seen, v) {
					t.Errorf("the server does not have the user's %s", v)
				}
			}
			// What describes the allocation is Slurm's.
			for _, v := range []string{"SLURM_JOB_ID=" + g.Job, "SLURM_JOB_NODELIST=" + g.Node} {
				if !slices.Contains(seen, v) {
					t.Errorf("the server does not have the job's %s", v)
				}
			}
		})
	}
}

// TestPresetsOtherWay: the same for the step that stands in for the node's own sshd, for
// the list of sessions and for a stop from elsewhere.
func TestPresetsOtherWay(t *testing.T) {
	begin(t)
	pamDenies(t)
	setPresets(t)
	s := serveBarred(t)
	e := s.ready()
	if code, body := get(t, e.URL); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	says(t, output(t, "alice", "laptop", lab.bin, "ps", "--refresh", "--cluster", "daint"), e.Session)
	output(t, "alice", "laptop", lab.bin, "stop", e.Session)
	s.end(0)
	if left := aliceJobs(t); left != "" {
		t.Errorf("left in the queue: %s", left)
	}
}

// TestPresetsTunnel: the same for a tunnel, which looks for the user's job on a node.
func TestPresetsTunnel(t *testing.T) {
	begin(t)
	running(t, "alice", []string{"-w", barred}, "127.0.0.1:6006")
	pamDenies(t)
	setPresets(t)
	s := cscs(t, "tunnel", "--port", "6006", "--node", barred)
	if code, body := get(t, s.ready().URL); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	s.signal(syscall.SIGINT)
	s.end(0)
}
