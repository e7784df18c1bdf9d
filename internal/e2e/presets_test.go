//go:build lab

package e2e

import (
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

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

// TestPresetsStepTransport: the same for the step that stands in for the node's own sshd, for
// the list of sessions and for a stop from elsewhere.
func TestPresetsStepTransport(t *testing.T) {
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
