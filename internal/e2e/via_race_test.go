//go:build lab

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

var (
	raceRounds = flag.Int("races.rounds", 10, "how many requests TestViaRace makes")
	raceSeed   = flag.Uint64("races.seed", 1, "all that is random in them")
)

// races are what happens in the moment in which a request is taken back from salloc.
var races = []struct {
	name   string
	hold   func(t *testing.T, node string) (release []string)
	strike func(t *testing.T)
}{
	// The node is in use; Slurm needs some tenths of a second to complete the job on it.
	{"freed", func(t *testing.T, node string) []string {
		return []string{"scancel", occupy(t, "mallory", "-p", "debug", "-w", node)}
	}, func(*testing.T) {}},
	{"slurmctld-restarted", closeDebug, func(t *testing.T) {
		tell(t, "stop-service", "ctl", "slurmctld")
		tell(t, "start-service", "ctl", "slurmctld")
	}},
	{"opened", closeDebug, func(*testing.T) {}},
	// Slurm's commands give up after MessageTimeout, 10 s, and slurmctld does what they asked for when it goes on.
	{"answers-lost", closeDebug, func(t *testing.T) {
		controllerSignal(syscall.SIGSTOP)
		waittest.SpendRealTime(11 * time.Second)
		controllerSignal(syscall.SIGCONT)
	}},
	{"opened", closeDebug, func(*testing.T) {}},
}

// closeDebug has the partition debug start nothing. What opens it starts what waits within milliseconds.
func closeDebug(t *testing.T, _ string) []string {
	t.Helper()
	set := []string{"scontrol", "update", "PartitionName=debug"}
	output(t, "root", "ctl", append(set, "State=DOWN")...)
	up := append(set, "State=UP")
	t.Cleanup(func() { output(t, "root", "ctl", up...) })
	return up
}

func controllerSignal(sig syscall.Signal) {
	eachProcess(func(p process) {
		if p.host == "ctl" && strings.Contains(p.cmdline, "slurmctld") {
			_ = syscall.Kill(p.pid, sig)
		}
	})
}

// TestViaRace: there are never two allocations, nor none, however salloc's grant and its cancellation meet.
// scripts/chaos --races N makes many of them.
func TestViaRace(t *testing.T) {
	random := rand.New(rand.NewPCG(*raceSeed, 0))
	outcomes := map[string]int{}
	for n := range *raceRounds {
		race := races[n%len(races)]
		t.Run(fmt.Sprintf("%s-%d", race.name, n), func(t *testing.T) {
			begin(t)
			node := lab.Nodes[n%len(lab.Nodes)]
			how := runRace(t, node, race.hold(t, node), time.Duration(random.IntN(300))*time.Millisecond, race.strike)
			outcomes[race.name+", "+how]++
			fmt.Printf("race %3d: %s: %s\n", n, race.name, how)
		})
	}
	t.Logf("outcomes: %v", outcomes)
}

// runRace has a session ask for the node, which it cannot have until release runs: delay after the session's
// directory appeared. It returns which request was granted.
func runRace(t *testing.T, node string, release []string, delay time.Duration, strike func(*testing.T)) string {
	t.Helper()
	// The command is ready before, so that it takes no time to start.
	held := lab.Command(context.Background(), append([]string{"in", "ctl", "sh", "-c", `read -r go && exec "$@"`, "sh"}, release...)...)
	trigger, err := held.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, []string{"--partition", "debug", "--nodelist", node, "--time", "10"})
	id := s.wait("connecting").Session
	if left := pollEvery(time.Millisecond, patience, func() string {
		if _, err := os.Stat(clusterHome(".cscs/daint", id)); err != nil {
			return err.Error()
		}
		return ""
	}); left != "" {
		t.Fatal(left)
	}
	waittest.SpendRealTime(delay) // the moment is a random one
	if _, err := fmt.Fprintln(trigger, "go"); err != nil {
		t.Fatal(err)
	}
	strike(t)
	if held.Wait() != nil { // it had no answer of slurmctld's either
		output(t, "root", "ctl", release...)
	}
	resumeNodes(t)
	e, ok := s.await(3*time.Minute, "ready", "ended")
	if !ok || e.Event != "ready" {
		log, _ := os.ReadFile(clusterHome(".cscs/daint", id, "events"))
		t.Fatalf("it is not ready: %s\n%s\nevents: %s\njobs: %v", s.stdout, sessionProcesses(id), log, innerJobs(t, "cscs-"+id))
	}
	if code, body := get(t, e.URL); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	how := judgeRequests(t, innerJobs(t, "cscs-"+id))
	closeReady(t, s)
	return how
}

// judgeRequests holds what Slurm has of a session's requests against: one allocation, and none beside it, ever.
func judgeRequests(t *testing.T, jobs map[string]string) string {
	t.Helper()
	how, began := "", time.Time{}
	for id, job := range jobs {
		if !strings.Contains(job, "JobState=RUNNING ") {
			continue
		}
		if how != "" {
			t.Errorf("two jobs run: %v", jobs)
		}
		began = slurmTime(t, job, "StartTime")
		how = "granted by salloc"
		if strings.Contains(job, "BatchFlag=1 ") {
			how = fmt.Sprintf("granted by sbatch, after %d of salloc's", len(jobs)-1)
		}
		delete(jobs, id)
	}
	if how == "" {
		t.Errorf("no job runs: %v", jobs)
	}
	for id, job := range jobs {
		if end := slurmTime(t, job, "EndTime"); end.After(began) {
			t.Errorf("job %s ended at %v, and another began at %v: %s", id, end, began, job)
		}
	}
	if len(jobs) > 1 {
		t.Errorf("salloc has asked more than once: %v", jobs)
	}
	return how
}

// slurmTime is a time of scontrol's.
func slurmTime(t *testing.T, job, name string) time.Time {
	t.Helper()
	_, rest, _ := strings.Cut(job, " "+name+"=")
	text, _, _ := strings.Cut(rest, " ")
	when, err := time.ParseInLocation("2006-01-02T15:04:05", text, time.Local)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return when
}
