//go:build lab

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// plan is a round, drawn before it begins.
type plan struct {
	n         int
	lease     time.Duration
	via       string
	partition string
	inner     bool          // the session submits a job of its own
	full      time.Duration // for so long mallory has the free nodes
	waits     bool          // the first fault comes when the session is ready
	detached  bool          // it is left in the queue for longer than its lease
	user      userSetup     // what alice has
	steps     []moment
}

// moment is a fault's beginning or end.
type moment struct {
	at    time.Duration // after the start of the client, or after ready
	name  string
	do    func(*chaos) bool // whether it met the session
	fault bool
}

func (p plan) String() string {
	words := []string{"via " + p.via, "partition " + p.partition}
	if p.inner {
		words = append(words, "submits a job")
	}
	if p.full > 0 {
		words = append(words, fmt.Sprintf("nodes free after %.2f s", p.full.Seconds()))
	}
	words = append(words, p.user.words()...)
	from := "start"
	switch {
	case p.detached:
		from = "detached"
	case p.waits:
		from = "ready"
	}
	for _, s := range p.steps {
		words = append(words, fmt.Sprintf("%s + %.2f s %s", from, s.at.Seconds(), s.name))
	}
	return strings.Join(words, ", ")
}

// shortLease reports whether the lease ends before a fault does.
func (p plan) shortLease() bool { return p.lease < time.Minute }

// A fault that lasts has an end of its own.
type chaosFault struct {
	name, end string
	most      time.Duration // how long it may last
	weight    int
	do        func(*chaos) bool
	undo      func(*chaos)
	kills     bool // the client
	fits      func(plan) bool
}

var chaosFaults = []chaosFault{
	{name: faultCut, end: "heal", most: 22 * time.Second, weight: 5,
		do: func(c *chaos) bool { c.cut = true; tell(c.t, "cut"); return true }, undo: func(c *chaos) { tell(c.t, "heal") }},
	{name: faultLoss, end: "no loss", most: 5 * time.Second, weight: 1,
		do: func(c *chaos) bool { tell(c.t, "loss", "20"); return true }, undo: func(c *chaos) { tell(c.t, "loss", "0") }},
	{name: faultRTT, end: "rtt 0", most: 5 * time.Second, weight: 1,
		do: func(c *chaos) bool { tell(c.t, "rtt", "200ms"); return true }, undo: func(c *chaos) { tell(c.t, "rtt", "0") }},
	{name: faultSleep, end: "it wakes", most: 22 * time.Second, weight: 2, fits: attended,
		do: func(c *chaos) bool {
			n := c.signalClient(syscall.SIGSTOP)
			c.cut = true
			tell(c.t, "cut")
			return n > 0
		},
		undo: func(c *chaos) { tell(c.t, "heal"); c.signalClient(syscall.SIGCONT) }},
	{name: faultLoginKill, weight: 3, do: (*chaos).killLogin},
	{name: faultJumpKill, weight: 2, do: (*chaos).killJump},
	{name: faultLogin, end: "it boots", most: 8 * time.Second, weight: 2,
		do: func(c *chaos) bool {
			c.loginDies()
			c.crashed = true
			c.gone.hosts["daint"] = true
			tell(c.t, "crash", "daint")
			return true
		}, undo: func(c *chaos) { tell(c.t, "boot", "daint") }},
	{name: faultSlurm, end: endSlurm, most: 10 * time.Second, weight: 2,
		do:   func(c *chaos) bool { tell(c.t, "stop-service", "ctl", "slurmctld"); return true },
		undo: func(c *chaos) { tell(c.t, "start-service", "ctl", "slurmctld") }},
	{name: faultKill, weight: 3, do: (*chaos).killClient, kills: true, fits: attended},
	{name: faultLaptop, end: "it boots", most: 3 * time.Second, weight: 1, kills: true, fits: attended,
		do: func(c *chaos) bool {
			met := c.phase() != phaseOver
			if met {
				c.clientDies()
			}
			c.cut = true
			c.gone.hosts["laptop"] = true
			// What stands for a stopped client is stopped, too, and would not see it die.
			_ = c.s.cmd.Process.Signal(syscall.SIGCONT)
			tell(c.t, "crash", "laptop")
			return met
		}, undo: func(c *chaos) { tell(c.t, "boot", "laptop"); c.plan.user.keys.revive(c.t, c.beside) }},
	{name: faultInterrupt, weight: 3, do: (*chaos).interrupt, fits: attended},
	{name: faultRequeue, weight: 2, do: (*chaos).requeue},
	{name: faultPreempt, end: "the urgent job ends", most: 22 * time.Second, weight: 4, do: (*chaos).preempt, undo: (*chaos).endUrgent,
		fits: func(p plan) bool { return p.partition == "preempt" && attended(p) }},
	{name: faultNode, end: endNode, most: 8 * time.Second, weight: 2, do: (*chaos).crashNode, undo: (*chaos).bootNode, fits: attended},
}

// attended: the plan's session has a client all the time.
func attended(p plan) bool { return !p.detached }

// draw makes a round: one to three different faults, each at a moment of its own. The lease is
// short, so that it runs out, or longer than all of them. Two rounds of three wait until the session is
// ready; in the others the faults come early, or a session is left in the queue.
func draw(r *rand.Rand, n int) plan {
	p := plan{n: n, lease: []time.Duration{5 * time.Second, 2 * time.Minute}[r.IntN(2)], waits: n%3 != 0}
	p.via = []string{"auto", "auto", "salloc", "sbatch"}[r.IntN(4)]
	if *chaosVia != "" {
		p.via = *chaosVia
	}
	p.partition = []string{"normal", "normal", "shared", "shared", "preempt"}[r.IntN(5)]
	p.inner = r.IntN(2) == 0
	during := 6 * time.Second
	switch {
	case !p.waits && r.IntN(3) == 0 && p.via != "salloc": // which cannot be left
		p.detached, p.partition, p.lease = true, "normal", 10*time.Second
	case p.partition != "shared" && r.IntN(4) == 0:
		p.full = between(r, time.Second, 6*time.Second)
		if !p.waits {
			during += p.full
			p.steps = append(p.steps, moment{at: p.full, name: "nodes free", do: func(c *chaos) bool { c.free(); return false }})
		}
	}
	var bag []int
	for i, f := range chaosFaults {
		if f.fits == nil || f.fits(p) {
			for range f.weight {
				bag = append(bag, i)
			}
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
		// Half of those that come early in the first second and a half, where all is in motion.
		at := between(r, 0, during)
		if !p.waits && r.IntN(2) == 0 {
			at = between(r, 0, 1500*time.Millisecond)
		}
		p.steps = append(p.steps, moment{at: at, name: f.name, do: f.do, fault: true})
		if f.undo != nil {
			p.steps = append(p.steps, moment{at: at + between(r, 100*time.Millisecond, f.most), name: f.end,
				do: func(c *chaos) bool { f.undo(c); return false }})
		}
	}
	slices.SortStableFunc(p.steps, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	// The lab boots a node when slurmctld has noticed that it was down, and waits until it is back there.
	named := func(name string) int { return slices.IndexFunc(p.steps, func(s moment) bool { return s.name == name }) }
	if boots, starts := named(endNode), named(endSlurm); boots >= 0 && boots < starts {
		s := p.steps[boots]
		s.at = p.steps[starts].at
		p.steps = slices.Insert(slices.Delete(p.steps, boots, boots+1), starts, s)
	}
	return p
}

// How the faults of slurmctld and of the node end.
const (
	endSlurm = "slurmctld starts"
	endNode  = "the node boots"
)

func lineOf(i int) bool { return chaosFaults[i].end == "heal" || chaosFaults[i].end == "it wakes" }

func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)))
}

// suffer lets the plan happen. Its moments are what is random: but for the start of a round that waits, no
// state is waited for.
func (c *chaos) suffer() {
	began := time.Now()
	done := 0
	c.t.Cleanup(func() { // a step that failed must not leave the lab broken
		for _, s := range c.plan.steps[done:] {
			s.do(c)
		}
	})
	if c.plan.waits {
		if c.plan.full > 0 {
			waittest.SpendRealTime(c.plan.full) // how long the nodes stay full
			c.free()
		}
		e, ok := c.s.await(4*patience, "ready", "ended")
		if !ok || e.Event != "ready" {
			done = len(c.plan.steps) // it has ended, or never comes: the faults would hide that
			return
		}
		c.inspect(e.URL)
		began = time.Now()
	}
	for _, s := range c.plan.steps {
		waittest.SpendRealTime(time.Until(began.Add(s.at))) // the moment is the plan's
		done++
		c.take(s)
	}
	if c.occupy != "" && !c.plan.detached {
		c.free() // slurmctld may not have heard it
	}
}

// take does a step, and records a fault that meets the session, with its phase when the fault takes effect: the session
// may go on until then.
func (c *chaos) take(s moment) {
	if !s.fault {
		s.do(c)
		return
	}
	at := c.phase()
	struck := s.do(c)
	if now := c.phase(); now != phaseEnding && now != phaseOver {
		at = now
	}
	if struck && at != phaseOver {
		c.strikes = append(c.strikes, strike{s.name, at})
	}
}

// phase is the session's now.
func (c *chaos) phase() phase {
	select {
	case <-c.s.done:
		if !c.plan.detached {
			return phaseOver
		}
	default:
	}
	if c.plan.detached {
		return phaseQueued
	}
	events, _ := parseEvents(c.s.stdout.String())
	at := phaseOf(events, "daint")
	if c.interrupted && at != phaseOver {
		at = phaseEnding
	}
	return at
}

// clientDies is called before the client does.
func (c *chaos) clientDies() { c.dead = true }

// loginDies is called before all on the login node does.
func (c *chaos) loginDies() { c.struckEarly = c.struckEarly || !c.runnerLives() }

// free gives mallory's nodes back.
func (c *chaos) free() { _, _ = try(c.t, "root", "ctl", "scancel", c.occupy) }

// killLogin ends all of alice's processes on the login node.
func (c *chaos) killLogin() bool {
	c.loginDies()
	c.gone.onLogin = true
	met := slices.ContainsFunc(c.beside.otherProcesses(), func(p process) bool { return p.host == "daint" && p.uid == labctl.AliceUID })
	kill(onLogin())
	return met
}

// job is the session's job that Slurm has, and its first node.
func (c *chaos) job() (id, node string) {
	out, _ := try(c.t, "root", "ctl", "squeue", "-a", "-h", "-n", "cscs-"+c.id(), "-t", "PENDING,RUNNING,CONFIGURING", "-o", "%i %N")
	id, node, _ = strings.Cut(strings.TrimSpace(out), " ")
	if _, err := strconv.Atoi(id); err != nil { // slurmctld does not answer
		return "", ""
	}
	return id, strings.TrimSpace(node)
}

// id is the session's, "" before its first event.
func (c *chaos) id() string {
	events, _ := parseEvents(c.s.stdout.String())
	for _, e := range events {
		if e.Session != "" {
			return e.Session
		}
	}
	return "-"
}

// requeue asks for what the request forbids.
func (c *chaos) requeue() bool {
	id, _ := c.job()
	if id == "" {
		return false
	}
	out, err := try(c.t, "root", "ctl", "scontrol", "requeue", id)
	c.t.Logf("requeue of %s: %v %s", id, err, out)
	return true
}

// preempt has mallory want the session's node more.
func (c *chaos) preempt() bool {
	_, node := c.job()
	if node == "" {
		return false
	}
	out, err := try(c.t, "mallory", "daint", "sbatch", "--parsable", "-p", "urgent", "-w", node, "-t", "5", "-J", "urgent", "-o", "/dev/null", "--wrap", "exec "+urgentSleep)
	if err != nil {
		return false // the login node, or slurmctld, is down
	}
	c.urgent = out
	return true
}

func (c *chaos) endUrgent() {
	if c.urgent != "" {
		_, _ = try(c.t, "root", "ctl", "scancel", c.urgent)
	}
}

// crashNode takes the power of the session's node, and of all who have jobs there.
func (c *chaos) crashNode() bool {
	_, node := c.job()
	if !slices.Contains(lab.Nodes, node) {
		return false
	}
	c.node = node
	c.gone.hosts[node] = true
	tell(c.t, "crash", node)
	return true
}

// bootNode gives the node back when Slurm has noticed, as for a machine that takes minutes to boot. An earlier one
// has the same kernel here: Slurm takes it for one that was never down, and its jobs for running ones.
func (c *chaos) bootNode() {
	if c.node == "" {
		return
	}
	if left := poll(2*patience, func() string {
		out, err := try(c.t, "root", "ctl", "sinfo", "-h", "-p", "normal", "-n", c.node, "-o", "%T")
		if err == nil && strings.HasPrefix(out, "down") {
			return ""
		}
		return out
	}); left != "" {
		c.t.Logf("Slurm does not notice that %s is down: %s", c.node, left)
	}
	tell(c.t, "boot", c.node)
}

// runnerLives reports whether the session has a guard on its node.
func (c *chaos) runnerLives() bool {
	files, _ := os.ReadDir(clusterHome(".cscs/daint"))
	for _, f := range files {
		if !ourDir(f.Name()) {
			continue
		}
		text, _ := os.ReadFile(clusterHome(".cscs/daint", f.Name(), "events"))
		if strings.Contains(string(text), "alive\t") {
			return true
		}
	}
	return false
}

func (c *chaos) interrupt() bool {
	if c.dead || c.phase() == phaseOver {
		return false
	}
	c.interrupted = true
	c.begun(func() bool { return c.s.stdout.String() != "" }) // it hears signals by then
	_ = c.s.cmd.Process.Signal(syscall.SIGINT)
	return true
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

func (c *chaos) killClient() bool {
	if c.phase() == phaseOver {
		return false
	}
	c.clientDies()
	c.begun(func() bool { return c.signalClient(0) > 0 })
	return c.signalClient(syscall.SIGKILL) > 0
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
func (c *chaos) killJump() bool {
	met := false
	c.gone.onJump = true
	for _, p := range userProcesses() {
		if p.host == "ela" && p.uid == labctl.AliceUID {
			met = syscall.Kill(p.pid, syscall.SIGKILL) == nil || met
		}
	}
	return met
}
