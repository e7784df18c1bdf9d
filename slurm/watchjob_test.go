package slurm

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A jobWatch is a WatchJob under way.
type jobWatch struct {
	f    *slurmtest.Cluster
	look chan Doubt
	told chan JobInfo
	done chan error
}

func watchJob(t *testing.T, job string) *jobWatch {
	t.Helper()
	w := &jobWatch{f: slurmtest.New(t), look: make(chan Doubt), told: make(chan JobInfo, 100), done: make(chan error, 1)}
	w.f.RunJob(job, time.Now().Add(time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.done <- WatchJob(ctx, w.f, job, w.look, func(info JobInfo) error { w.told <- info; return nil })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	if info := <-w.told; info.State != "RUNNING" {
		t.Fatalf("job %s is %s", job, info.State)
	}
	return w
}

// end waits until the watch has told that the job has ended.
func (w *jobWatch) end(t *testing.T, state string) {
	t.Helper()
	err := waittest.Receive(t, 40*time.Second, "the end of the watch with the job", w.done)
	if info := <-w.told; err != nil || info.State != state {
		t.Errorf("%v, the job is %s, want %s", err, info.State, state)
	}
}

// TestWatchJobAsksAtLoss: the loss of the node has Slurm asked at once, even after the server went.
func TestWatchJobAsksAtLoss(t *testing.T) {
	t.Parallel()
	w := watchJob(t, "7")
	w.look <- ServerGone
	w.f.EndJob("7", "NODE_FAIL")
	w.look <- NodeLost
	w.end(t, "NODE_FAIL")
}

// watchTimes runs cscs_watch_job with a clock of the test's. $1 is the job's state, $2 the end of standard
// input and $3 when the client writes what, in milliseconds. It prints when Slurm is asked.
const watchTimes = `
cscs_find_slurm() { :; }
cscs_say() { :; }
now=0 end=$2 cscs_job=7
read -ra writes <<<"$3"
exec 3>&1
cscs_uptime() { REPLY=$now; }
cscs_exec_query() {
	echo "$now" >&3
	echo "JobId=7 JobState=$state EndTime=1 "
}
state=$1
read() { # -r -t SECONDS -u 0 NAME
	local seconds=$3.000 until write
	until=${seconds#*.}
	((until = now + ${seconds%%.*} * 1000 + 10#${until:0:3}))
	write=${writes[0]:-$end:}
	if ((${write%%:*} > until)); then
		now=$until
		return 142
	fi
	now=$((now > ${write%%:*} ? now : ${write%%:*})) writes=("${writes[@]:1}")
	[[ $6 == _ ]] || printf -v "$6" %s "${write#*:}"
	[[ -n ${write#*:} ]]
}
cscs_watch_job
`

// TestWatchJobAsks (I9): Slurm is asked once a minute. A server that comes and goes, and a job that stays
// COMPLETING (an epilog, a dead node), add one series of questions; a lost node has it asked at once.
func TestWatchJobAsks(t *testing.T) {
	t.Parallel()
	const minute = 60_000
	var flaps []string
	for at := 30_000; at < 10*minute; at += 3500 {
		flaps = append(flaps, strconv.Itoa(at)+":"+string(ServerGone))
	}
	lost := append(slices.Clone(flaps), strconv.Itoa(10*minute)+":"+string(NodeLost))
	for name, c := range map[string]struct {
		state  string
		writes []string
		inAll  int // at most
		at     int // one that there must be
	}{
		"quiet":                  {"RUNNING", nil, 20, minute},
		"server comes and goes":  {"RUNNING", flaps, 20 + 10*6, 30_000},
		"and the node is lost":   {"RUNNING", lost, 20 + 11*6, 10 * minute},
		"COMPLETING":             {"COMPLETING", nil, 20 + 4, 1000},
		"COMPLETING and a doubt": {"COMPLETING", flaps[:1], 20 + 4 + 6, 30_000},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := bashCommand(t, script()+watchTimes, c.state, strconv.Itoa(20*minute), strings.Join(c.writes, " ")).Output()
			asked := strings.Fields(string(out))
			if err == nil || len(asked) == 0 { // the end of standard input fails the function
				t.Fatalf("%v: asked at %v", err, asked)
			}
			if len(asked) > c.inAll {
				t.Errorf("Slurm is asked %d times in 20 min, at %v", len(asked), asked)
			}
			if !slices.Contains(asked, strconv.Itoa(c.at)) {
				t.Errorf("Slurm is not asked at %d ms, but at %v", c.at, asked)
			}
			for i, at := range asked[:max(len(asked)-12, 0)] {
				first, _ := strconv.Atoi(at)
				last, _ := strconv.Atoi(asked[i+12])
				if last-first < minute {
					t.Fatalf("Slurm is asked 13 times in %d ms, from %d on", last-first, first)
				}
			}
		})
	}
}
