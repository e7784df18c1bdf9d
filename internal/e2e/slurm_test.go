//go:build lab

package e2e

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// queuePause is the pause between two looks at the queue. A job is COMPLETING for about 3 s, and a look
// takes 30 ms of CPU time.
const queuePause = 200 * time.Millisecond

// squeue tells the jobs in the queue, one a line ("12 alice RUNNING nid001001"),
// but those in the given state; empty if there are none.
func squeue(but string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := lab.Command(ctx, "in", "daint", "squeue", "-a", "-h", "-o", "%i %u %T %R").CombinedOutput()
	if err != nil {
		return "squeue: " + err.Error() + ": " + string(out)
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); but == "" || len(f) < 3 || f[2] != but {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return strings.Join(left, "\n")
}

// jobState is what Slurm says of a job, "" once it has forgotten it. An answer that is none is no state.
func jobState(t *testing.T, job string) string {
	t.Helper()
	out, err := try(t, "root", "daint", "squeue", "-a", "-h", "-j", job, "-o", "%T")
	if err != nil && strings.Contains(out, "Invalid job id") {
		return ""
	}
	if err != nil {
		return "squeue: " + err.Error() + ": " + out
	}
	return out
}

var nextJobID = regexp.MustCompile(`NEXT_JOB_ID\s*=\s*(\d+)`)

// jobsSoFar counts the jobs that were ever asked for: the one number that a
// request cannot fail to change, however short it lived.
func jobsSoFar(t *testing.T) string {
	t.Helper()
	m := nextJobID.FindStringSubmatch(output(t, "root", "daint", "scontrol", "show", "config"))
	if m == nil {
		t.Fatal("scontrol show config tells no NEXT_JOB_ID")
	}
	return m[1]
}

// unallocated fails the test if, when it ends, anything was asked of Slurm.
func unallocated(t *testing.T) {
	t.Helper()
	before := jobsSoFar(t)
	t.Cleanup(func() {
		if now := jobsSoFar(t); now != before {
			t.Errorf("something was allocated: the next job's number went from %s to %s", before, now)
		}
	})
}

var granted = regexp.MustCompile(`Granted job allocation (\d+)`)

// occupy has a user hold an allocation by salloc until the test ends.
func occupy(t *testing.T, user string, options ...string) (job string) {
	t.Helper()
	if i := slices.Index(options, "-w"); i >= 0 {
		awaitCompleted(t, options[i+1])
	}
	argv := append([]string{"salloc", "--no-shell", "-J", "occupy", "-t", "30"}, options...)
	out := output(t, user, "daint", argv...)
	m := granted.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("salloc: %s", out)
	}
	t.Cleanup(func() { cancelJob(t, m[1]) })
	return m[1]
}

// awaitCompleted waits until no job is COMPLETING on a node, as awaitNode does for any.
func awaitCompleted(t *testing.T, node string) {
	t.Helper()
	if left := poll(4*time.Minute, func() string {
		return output(t, "root", "daint", "squeue", "-h", "-t", "COMPLETING", "-w", node)
	}); left != "" {
		t.Fatalf("%s is still completing: %s", node, left)
	}
	resumeNodes(t) // Slurm drains a node whose job took too long to complete
}

func cancelJob(t *testing.T, job string) {
	t.Helper()
	_, _ = try(t, "root", "daint", "scancel", job)
	if left := poll(30*time.Second, func() string { return jobState(t, job) }); left != "" {
		t.Errorf("job %s is still %s", job, left)
	}
}

// settle waits until every compute node is free: jobs that are COMPLETING let
// a test begin, but not one that needs all nodes. On a loaded machine a job was seen to be
// COMPLETING for 165 s.
func settle(t *testing.T) {
	t.Helper()
	if left := pollEvery(queuePause, 4*time.Minute, func() string { return squeue("") }); left != "" {
		t.Fatalf("the queue does not empty: %s", left)
	}
	resumeNodes(t)
}

// resumeNodes gives back the nodes that Slurm has given up, which would fail all tests that follow,
// and tells why it had. Slurm's extern step sometimes finds no end when its job is cancelled while it
// begins ("steps did not complete quickly", then "Kill task failed"; seen on 24.11).
func resumeNodes(t *testing.T) (reasons []string) {
	t.Helper()
	var refused string
	left := poll(30*time.Second, func() string {
		given := output(t, "root", "daint", "sinfo", "-h", "-R", "-o", "%N %H %E")
		for line := range strings.Lines(given) {
			nodes, _, _ := strings.Cut(line, " ")
			if why := strings.TrimSpace(line); !slices.Contains(reasons, why) {
				reasons = append(reasons, why)
			}
			// Slurm refuses it while the node's state changes.
			if out, err := try(t, "root", "daint", "scontrol", "update", "NodeName="+nodes, "State=RESUME"); err != nil {
				refused = out
			}
		}
		return given
	})
	if left != "" {
		t.Fatalf("not resumed: %s: %s", left, refused)
	}
	if len(reasons) > 0 {
		t.Logf("resumed: %s", strings.Join(reasons, "; "))
	}
	return reasons
}

// awaitNode waits until a compute node is free. On a loaded machine Slurm takes its time to complete
// the jobs of the tests before, and three nodes are soon completing all.
func awaitNode(t *testing.T) {
	t.Helper()
	if why := pollEvery(queuePause, 4*time.Minute, func() string {
		if output(t, "root", "daint", "sinfo", "-h", "-p", "normal", "-t", "idle", "-o", "%D") != "" {
			return ""
		}
		return squeue("")
	}); why != "" {
		t.Fatalf("no node becomes free: %s", why)
	}
}

// inJob runs argv as a user inside a job, in the background, until the test ends.
func inJob(t *testing.T, user, job string, argv ...string) *background {
	t.Helper()
	srun := append([]string{"srun", "--jobid=" + job, "--overlap", "-n1", "-N1"}, argv...)
	return start(t, as(context.Background(), user, "daint", srun...))
}
