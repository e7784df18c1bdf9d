package slurm

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// starterTimes asks every 5 s of a clock of the test's whether the starter of salloc's job is gone, as follow
// does, while Slurm has a step of which nothing is heard. It prints when Slurm is asked.
const starterTimes = `
exec 3>&1
cscs_dir=$1 cscs_job=7 now=0
cscs_uptime() { REPLY=$now; }
scontrol() { echo "$now" >&3; echo "StepId=7.0 State=RUNNING"; }
for ((now = 0; now < 600000; now += 5000)); do
	cscs_is_starter_gone $((now + 600000)) && echo gone
done
exit 0
`

// TestStarterAsksSeldom (I9): a step that says nothing has Slurm asked once a minute.
func TestStarterAsksSeldom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "starter"), []byte("elsewhere 1 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := bashCommand(t, script()+starterTimes, dir).Output()
	asked := strings.Fields(string(out))
	if err != nil || len(asked) == 0 || asked[0] != strconv.Itoa(0) {
		t.Fatalf("%v: asked at %v", err, asked)
	}
	if len(asked) > 10 {
		t.Errorf("Slurm is asked %d times in 10 min, at %v", len(asked), asked)
	}
}
