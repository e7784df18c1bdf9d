package slurm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// starterTimes asks every 5 s of a clock of the test's whether the starter of salloc's job is gone, as follow
// does, while Slurm has a step of which nothing is heard. It prints when Slurm is asked.
const starterTimes = `
exec 3>&1
cscs_dir=$1 says=$2 cscs_job=7 now=0
cscs_uptime() { REPLY=$now; }
cscs_exec_query() { echo "$now" >&3; echo "$says"; }
for ((now = 0; now < 600000; now += 5000)); do
	cscs_is_starter_gone $((now + 600000)) && echo gone
done
exit 0
`

// TestStarterAsksSeldom (I9): a step that says nothing has Slurm asked once a minute. An answer that says nothing of
// the job's steps ends no session.
func TestStarterAsksSeldom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "starter"), []byte("elsewhere 1 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for answer, gone := range map[string]bool{
		"StepId=7.0 UserId=2001 StartTime=2026-01-01T00:00:00 TimeLimit=UNLIMITED State=RUNNING": false,
		"slurm_get_job_steps error: Unable to contact slurm controller (connect failure)":        false,
		"slurm_get_job_steps error: Invalid job id specified":                                    true,
		"Job step 7 not found": true,
	} {
		out, err := bashCommand(t, script()+starterTimes, dir, answer).Output()
		if strings.Contains(string(out), "gone") != gone {
			t.Errorf("%q: %v, %q", answer, err, out)
		}
		asked := strings.Fields(strings.ReplaceAll(string(out), "gone", ""))
		if err != nil || len(asked) == 0 || asked[0] != "0" {
			t.Fatalf("%v: asked at %v", err, asked)
		}
		if len(asked) > 10 {
			t.Errorf("Slurm is asked %d times in 10 min, at %v", len(asked), asked)
		}
	}
}
