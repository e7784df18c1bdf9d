package slurm

import (
	"slices"
	"strings"
	"testing"
)

// TestStatesOfJobs: this side and the cluster's agree on the states in which a job has its nodes. One that is
// stopped has them, and is not over.
func TestStatesOfJobs(t *testing.T) {
	t.Parallel()
	holds := []string{"CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
	over := []string{"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED"}
	all := append(append([]string{"PENDING", ""}, holds...), over...)
	for _, state := range all {
		j := JobInfo{State: state}
		if got, want := j.Runs(), slices.Contains(holds, state); got != want {
			t.Errorf("%q: Runs is %v", state, got)
		}
		if got, want := j.isOver(), slices.Contains(over, state); got != want {
			t.Errorf("%q: over is %v", state, got)
		}
	}
	text := script() + `
for state in "$@"; do
	! cscs_holds_nodes "JobId=1 JobState=$state Reason=None" || printf '%s\n' "$state"
done`
	out, err := bashCommand(t, text, all...).CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, holds) {
		t.Errorf("cscs_holds_nodes holds for %q, %v", got, err)
	}
}
