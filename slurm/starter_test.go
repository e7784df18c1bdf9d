//go:build unix

package slurm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// TestStarterGone: the login node dies between salloc's grant and the runner's start. No process starts
// the runner any more, and who follows the session learns that it is over.
func TestStarterGone(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_SRUN_WAITS=1")
	id := testID(t)
	first := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Granted](first)
	var srun, starter int
	waittest.Until(t, 10*time.Second, "an srun", func() bool {
		srun, starter = srunOf(f)
		return srun != 0
	})
	for _, pid := range []int{starter, srun} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	first.wait()
	second := follow(t.Context(), t, f, &Submission{ID: id})
	if x := await[Exited](second); x.Reason != "killed" || !strings.Contains(x.Message, "4711") {
		t.Errorf("exited: %+v", x)
	}
	second.wait()
	stopFake(t, f, Stopping{ID: id})
}

// srunOf returns the srun that is to start the runner, and its parent; 0: there is none.
func srunOf(f *slurmtest.Cluster) (pid, parent int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, err := os.ReadFile(file)
		line := strings.ReplaceAll(string(text), "\x00", " ")
		if err != nil || !strings.Contains(line, "/bin/srun --jobid=") || !strings.Contains(line, f.Home) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(file), "stat"))
		if err != nil {
			continue
		}
		_, _ = fmt.Sscan(string(stat), &pid)
		var state string
		_, _ = fmt.Sscan(string(stat[strings.LastIndex(string(stat), ")")+1:]), &state, &parent)
		return pid, parent
	}
	return 0, 0
}
