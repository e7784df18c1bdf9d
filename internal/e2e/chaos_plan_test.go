//go:build lab

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// plan is a round, drawn before it begins.
type plan struct {
	lease time.Duration
	via   string
	full  time.Duration // for so long mallory has all nodes
	steps []moment
}

// moment is a fault's beginning or end.
type moment struct {
	at   time.Duration // after the start of the client
	name string
	do   func(*chaos)
}

func (p plan) String() string {
	words := []string{"via " + p.via}
	if p.full > 0 {
		words = append(words, "cluster full")
	}
	for _, s := range p.steps {
		words = append(words, fmt.Sprintf("%.2f s %s", s.at.Seconds(), s.name))
	}
	return strings.Join(words, ", ")
}

// A fault that lasts has an end of its own.
var chaosFaults = []struct {
	name, end string
	most      time.Duration // how long it may last
	weight    int
	do, undo  func(*chaos)
	kills     bool // the client
}{
	{"cut", "heal", 22 * time.Second, 5,
		func(c *chaos) { c.cut = true; tell(c.t, "cut") }, func(c *chaos) { tell(c.t, "heal") }, false},
	{"loss of 20%", "no loss", 5 * time.Second, 1,
		func(c *chaos) { tell(c.t, "loss", "20") }, func(c *chaos) { tell(c.t, "loss", "0") }, false},
	{"rtt of 200 ms", "rtt 0", 5 * time.Second, 1,
		func(c *chaos) { tell(c.t, "rtt", "200ms") }, func(c *chaos) { tell(c.t, "rtt", "0") }, false},
	{"the laptop sleeps", "it wakes", 22 * time.Second, 2,
		func(c *chaos) { c.signalClient(syscall.SIGSTOP); c.cut = true; tell(c.t, "cut") },
		func(c *chaos) { tell(c.t, "heal"); c.signalClient(syscall.SIGCONT) }, false},
	{"kill -9 of all on the login node", "", 0, 3, func(c *chaos) { c.loginDies(); kill(onLogin()) }, nil, false},
	{"kill -9 of all on the jump host", "", 0, 2, (*chaos).killJump, nil, false},
	{"the login node crashes", "it boots", 8 * time.Second, 2,
		func(c *chaos) { c.loginDies(); c.crashed = true; tell(c.t, "crash", "daint") }, func(c *chaos) { tell(c.t, "boot", "daint") }, false},
	{"slurmctld stops", "slurmctld starts", 10 * time.Second, 2,
		func(c *chaos) { tell(c.t, "stop-service", "ctl", "slurmctld") },
		func(c *chaos) { tell(c.t, "start-service", "ctl", "slurmctld") }, false},
	{"kill -9 of the client", "", 0, 3, (*chaos).killClient, nil, true},
	{"the laptop crashes", "it boots", 3 * time.Second, 1,
		func(c *chaos) {
			c.clientDies()
			c.cut = true
			// What stands for a stopped client is stopped, too, and would not see it die.
			_ = c.s.cmd.Process.Signal(syscall.SIGCONT)
			tell(c.t, "crash", "laptop")
		}, func(c *chaos) { tell(c.t, "boot", "laptop") }, true},
	{"Ctrl-C", "", 0, 3, (*chaos).interrupt, nil, false},
}

// draw makes a round: one to three different faults, each at a moment of its own. The lease is
// short, so that it runs out, or longer than all of them.
func draw(r *rand.Rand) plan {
	p := plan{lease: []time.Duration{5 * time.Second, 2 * time.Minute}[r.IntN(2)]}
	during := 6 * time.Second
	if r.IntN(4) == 0 {
		p.full = between(r, time.Second, 6*time.Second)
		p.steps = append(p.steps, moment{p.full, "nodes free", (*chaos).free})
		during += p.full
	}
	var bag []int
	for i, f := range chaosFaults {
		for range f.weight {
			bag = append(bag, i)
		}
	}
	drawn := map[int]bool{}
	for range 1 + r.IntN(3) {
		i := bag[r.IntN(len(bag))]
		if drawn[i] || lineOf(i) && slices.ContainsFunc(p.steps, func(s moment) bool { return s.name == "heal" || s.name == "it wakes" }) {
			continue // once each, and one at the line
		}
		drawn[i] = true
		f := chaosFaults[i]
		if f.kills {
			p.lease = 5 * time.Second // which is waited for
		}
		// Half of them in the first second and a half, where all is in motion.
		at := between(r, 0, during)
		if r.IntN(2) == 0 {
			at = between(r, 0, 1500*time.Millisecond)
		}
		p.steps = append(p.steps, moment{at, f.name, f.do})
		if f.undo != nil {
			p.steps = append(p.steps, moment{at + between(r, 100*time.Millisecond, f.most), f.end, f.undo})
		}
	}
	slices.SortStableFunc(p.steps, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	p.via = []string{"auto", "auto", "salloc", "sbatch"}[r.IntN(4)]
	if *chaosVia != "" {
		p.via = *chaosVia
	}
	return p
}

func lineOf(i int) bool { return chaosFaults[i].end == "heal" || chaosFaults[i].end == "it wakes" }

func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)))
}

// suffer lets the plan happen. Its moments are what is random: no state is waited for.
func (c *chaos) suffer() {
	began := time.Now()
	done := 0
	c.t.Cleanup(func() { // a step that failed must not leave the lab broken
		for _, s := range c.plan.steps[done:] {
			s.do(c)
		}
	})
	for _, s := range c.plan.steps {
		<-time.After(time.Until(began.Add(s.at)))
		done++
		s.do(c)
	}
	if c.occupy != "" {
		c.free() // slurmctld may not have heard it
	}
}

// clientDies is called before the client does.
func (c *chaos) clientDies() { c.dead = true }

// loginDies is called before all on the login node does.
func (c *chaos) loginDies() { c.struckEarly = c.struckEarly || !c.runnerLives() }

// free gives mallory's nodes back.
func (c *chaos) free() { _, _ = try(c.t, "root", "ctl", "scancel", c.occupy) }

// runnerLives reports whether the session has a guard on its node.
func (c *chaos) runnerLives() bool {
	files, _ := os.ReadDir(clusterHome(".cscs/daint"))
	for _, f := range files {
		text, _ := os.ReadFile(clusterHome(".cscs/daint", f.Name(), "events"))
		if strings.Contains(string(text), "alive\t") {
			return true
		}
	}
	return false
}

func (c *chaos) interrupt() {
	if c.dead {
		return
	}
	c.interrupted = true
	c.begun(func() bool { return c.s.stdout.String() != "" }) // it hears signals by then
	_ = c.s.cmd.Process.Signal(syscall.SIGINT)
}

// begun waits for a client that is just beginning: what stands for it is no cscs.
func (c *chaos) begun(far func() bool) {
	poll(patience, func() string {
		select {
		case <-c.s.done: // of another fault
			return ""
		default:
		}
		if !far() {
			return "not yet"
		}
		return ""
	})
}

func (c *chaos) killClient() {
	c.clientDies()
	c.begun(func() bool { return c.signalClient(0) > 0 })
	c.signalClient(syscall.SIGKILL)
}

// signalClient reaches cscs itself, and not what stands for it here. It returns how many
// processes that were.
func (c *chaos) signalClient(sig syscall.Signal) int {
	n := 0
	eachProcess(func(p process) {
		if p.host == "laptop" && p.uid == labctl.AliceUID && strings.HasPrefix(p.cmdline, lab.bin+" ") && syscall.Kill(p.pid, sig) == nil {
			n++
		}
	})
	if sig == syscall.SIGCONT {
		_ = c.s.cmd.Process.Signal(sig) // what stands for it was stopped with it
	}
	return n
}

// killJump ends the first hop with a reset.
func (c *chaos) killJump() {
	for _, p := range userProcesses() {
		if p.host == "ela" && p.uid == labctl.AliceUID {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}
