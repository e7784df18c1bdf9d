//go:build unix

package slurm

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// TestRunnerKilledEarly: a runner that is killed within seconds of its start is started again. The server
// of the first one is gone before the second one starts another, and nothing is said of the cluster.
func TestRunnerKilledEarly(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	alive := await[Alive](r)
	started := await[Started](r)
	await[Listening](r)
	if err := syscall.Kill(alive.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var notes []string
	for again := false; !again; {
		switch e := awaitAny(r).(type) {
		case Note:
			notes = append(notes, e.Message)
		case Started:
			again = e.PID != started.PID
		}
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", started.PID)); err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("the server of the first runner, process %d, runs beside the second one: %s", started.PID, stat)
	}
	if len(notes) != 1 || strings.Contains(notes[0], "on this cluster") {
		t.Errorf("notes %q", notes)
	}
	await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}
