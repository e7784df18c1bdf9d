//go:build lab

package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What scripts/chaos asks for.
var (
	chaosRounds = flag.Int("chaos.rounds", 10, "how many sessions are struck")
	chaosFirst  = flag.Int("chaos.first", 1, "the number of the first round")
	chaosVia    = flag.String("chaos.via", "", "the --via of all sessions; without it that is random too")
	chaosSeed   = flag.Uint64("chaos.seed", 1, "with the number of a round, all that is random in it")
)

// tally is what went wrong over all rounds, and how often.
type tally map[string]int

// wrong counts, and fails the round.
func (c tally) wrong(t *testing.T, what, format string, args ...any) {
	t.Helper()
	c[what]++
	t.Errorf(what+": "+format, args...)
}

// TestChaos strikes sessions with random faults at random moments, beside jobs, processes and files that are
// not theirs. A round depends on the seed and its number alone.
func TestChaos(t *testing.T) {
	if len(lab.Nodes) < 3 {
		t.Fatalf("the neighbours need two nodes, and the sessions one: scripts/lab up --nodes 5")
	}
	run := &chaosRun{beside: &neighbours{t: t}, total: tally{}, ends: tally{}, drawn: tally{}, struck: map[string]tally{}}
	t.Cleanup(run.beside.remove)
	for n := *chaosFirst; n < *chaosFirst+*chaosRounds; n++ {
		run.rounds++
		if !t.Run(fmt.Sprintf("round-%d", n), func(t *testing.T) { run.round(t, n) }) {
			run.failed++
		}
	}
	run.print()
	if why := tooFewReady(run.rounds, run.waits, run.ready); why != "" {
		fmt.Printf("chaos: FAILED: %s\n", why)
		t.Error(why)
	}
}

// chaosRun counts what happens over all rounds.
type chaosRun struct {
	beside         *neighbours
	total, ends    tally
	drawn          tally            // what the users had, by kind
	struck         map[string]tally // by fault, and phase
	planned        int              // faults
	rounds, failed int
	waits          int // rounds that wait until they are ready
	ready          int // rounds that were ready before their first fault
}

func (r *chaosRun) print() {
	fmt.Printf("chaos: seed %d, rounds %d to %d: %d rounds, %d failed\n", *chaosSeed, *chaosFirst, *chaosFirst+*chaosRounds-1, r.rounds, r.failed)
	fmt.Printf("chaos: %d of %d rounds were ready before their first fault\n", r.ready, r.rounds)
	for _, k := range slices.Sorted(maps.Keys(r.ends)) {
		fmt.Printf("chaos: %4d %s\n", r.ends[k], k)
	}
	for _, k := range slices.Sorted(maps.Keys(r.drawn)) {
		fmt.Printf("chaos: %4d rounds with: %s\n", r.drawn[k], k)
	}
	met := 0
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.struck)) {
		var in []string
		n := 0
		for _, p := range slices.Sorted(maps.Keys(r.struck[name])) {
			in = append(in, fmt.Sprintf("%s %d", p, r.struck[name][p]))
			n += r.struck[name][p]
		}
		met += n
		lines = append(lines, fmt.Sprintf("chaos: struck %4d times: %s (%s)", n, name, strings.Join(in, ", ")))
	}
	fmt.Printf("chaos: %d of %d faults struck a session\n", met, r.planned)
	for _, l := range lines {
		fmt.Println(l)
	}
	for _, k := range []string{jobLeaked, urlLost, noReason, foreignHarm, requestGone, eventsBroken, dataBroken, leftBehind, untidy, unlikeUser, nodeDrained} {
		fmt.Printf("chaos: %4d times: %s\n", r.total[k], k)
	}
}

// What may go wrong.
const (
	jobLeaked    = "a job outlived its owner"
	urlLost      = "the URL did not come back"
	noReason     = "an end that no fault explains"
	foreignHarm  = "touched what is not the session's"
	requestGone  = "a request that was left in the queue did not survive"
	eventsBroken = "events lost or repeated"
	dataBroken   = "bytes lost, repeated or ended in an orderly way"
	leftBehind   = "processes or files left behind"
	nodeDrained  = "Slurm drained a node (told and resumed; not counted as failed)"
	unlikeUser   = "the server, or a file of ours, is not as the user's set-up asks"
	untidy       = "an end that took too long, or was claimed and not true"
)

// comeback is within what the URL has to answer after all is as it was: one second, the
// longest pause between two dials, and a dial, which TCP itself may begin late.
const comeback = 45 * time.Second

func (r *chaosRun) round(t *testing.T, n int) {
	p := draw(rand.New(rand.NewPCG(*chaosSeed, uint64(n))), n)
	// By numbers of its own: the faults of a seed stay what they are.
	p.user = drawUser(*chaosSeed, n, p.inner, p.partition)
	for _, k := range p.user.kinds() {
		r.drawn[k]++
	}
	// Before all is looked at, and taken back after that.
	p.user.put(t, r.beside)
	// The last to be run: what cleans up must touch nothing either.
	c := &chaos{t: t, plan: p, total: r.total, beside: r.beside, gone: gone{hosts: map[string]bool{}}}
	t.Cleanup(func() {
		if harm := r.beside.harmed(t, c.gone); harm != "" && !c.harmed {
			r.total.wrong(t, foreignHarm, "after the cleaning up:\n%s", harm)
			fmt.Printf("round %3d: FAILED after its end: %s\n", n, foreignHarm)
		}
	})
	if reasons := resumeNodes(t); len(reasons) > 0 {
		r.total[nodeDrained]++
		fmt.Printf("round %3d: before it: drained: %s\n", n, strings.Join(reasons, "; "))
	}
	r.beside.begin(t, n, r.total)
	t.Cleanup(func() {
		if c.dead || c.cut || c.crashed {
			sweepLinks(t)
		}
	})
	if p.waits {
		r.waits++
	}
	for _, s := range p.steps {
		if s.fault {
			r.planned++
		}
	}
	if p.full > 0 || p.detached {
		c.occupy = occupy(t, "mallory", "-N", fmt.Sprint(len(freeNodes())), "-w", strings.Join(freeNodes(), ","))
	}
	var how string
	if p.detached {
		how = c.leave(r.total)
	} else {
		how = c.attend(r.total)
	}
	r.ends[how]++
	if c.readyFirst() {
		r.ready++
	}
	for _, s := range c.strikes {
		if r.struck[s.fault] == nil {
			r.struck[s.fault] = tally{}
		}
		r.struck[s.fault][string(s.phase)]++
	}
	verdict := "ok"
	if t.Failed() {
		verdict = "FAILED"
	}
	fmt.Printf("round %3d: lease %v; %s: %s: %s\n", n, p.lease, p, how, verdict)
}

// attend is a round of a session that has its client.
func (c *chaos) attend(total tally) string {
	c.s = c.cscs(append([]string{"run"}, c.words()...)...)
	traffic := watchTraffic(c.s)
	defer traffic.stop()
	c.suffer()
	return c.judge(traffic, total)
}

// words are the flags and the command of the session.
func (c *chaos) words() []string {
	p := c.plan
	words := append([]string{"--via", p.via, "--lease", p.lease.String()}, p.user.software.flags...)
	if p.user.partition == "" {
		words = append(words, "--partition", p.partition)
	}
	node := neighbourNode()
	if p.partition == "shared" {
		node = crowdedNode()
		words = append(words, "--nodelist", node, "--mem", "500", "--slurm=--ntasks=1")
	}
	words = append(words, "--")
	if !p.inner {
		return append(words, p.user.software.server(lab.testserver), "127.0.0.1:{port}")
	}
	submit := fmt.Sprintf("sbatch --parsable --export=ALL -p shared -w %s -n1 --mem=100 -t 60 -o /dev/null -J %s --wrap 'exec %s' && echo submitted-%[2]s",
		node, innerName(p.n), innerSleeps)
	return append(words, "bash", "-c", submit+"; exec "+lab.testserver+" 127.0.0.1:$PORT")
}

// readyFirst reports whether the session was ready before its first fault.
func (c *chaos) readyFirst() bool {
	if len(c.strikes) > 0 {
		return c.strikes[0].phase == phaseReady
	}
	_, ok := c.s.find("ready")
	return ok
}

// chaos is one session and what becomes of it.
type chaos struct {
	t      *testing.T
	plan   plan
	total  tally
	beside *neighbours
	s      *session
	occupy string // mallory's job
	urgent string // another of hers, that preempts the session's
	node   string // the one that crashed

	strikes     []strike
	gone        gone
	harmed      bool // what is not the session's was, and that has been told
	dead        bool // the client was killed
	interrupted bool // by Ctrl-C
	wentOn      bool // it was ready after all faults, and ended when the round asked it to
	cut         bool // the line was, once
	crashed     bool // the login node did, once
	inspected   bool // it was seen that the server is as the user's set-up asks
	struckEarly bool // all on the login node died before the runner lived
}

// judge waits until all of the session is over, and says how it ended.
func (c *chaos) judge(traffic *traffic, total tally) string {
	t, s := c.t, c.s
	var how string
	restored := time.Now()
	switch {
	case c.dead:
		s.exit(patience)
		how = "the client was killed"
	case c.interrupted:
		how = c.judgeEnd(total)
	default:
		how = c.judgeLife(restored, traffic, total)
	}
	events, err := parseEvents(s.stdout.String())
	if err != nil {
		total.wrong(t, eventsBroken, "%v", err)
	}
	for _, name := range []string{"granted", "started", "ready", "ended"} {
		if k := countEvents(events, name); k > 1 {
			total.wrong(t, eventsBroken, "%s came %d times\n%s", name, k, s.stdout)
		}
	}
	told := countEvents(events, "ended") == 1
	if !c.dead && !told {
		total.wrong(t, eventsBroken, "the end was not told\n%s", s.stdout)
	}
	traffic.stop()
	if traffic.bad != "" {
		total.wrong(t, dataBroken, "%s", traffic.bad)
	}
	wasReady := countEvents(events, "ready") > 0
	if c.wentOn && traffic.lines == 0 {
		total.wrong(t, dataBroken, "the session went on, and no number came through the tunnel")
	}
	select {
	case <-s.done:
		f := finish{code: s.code, killed: c.dead && !told, asked: c.wentOn, ready: wasReady}
		if why := unexplained(f, c.strikes, c.plan.shortLease()); why != "" {
			total.wrong(t, noReason, "%s", why)
		}
	default: // told above
	}
	c.judgeRest(total, &how)
	c.judgeNeighbours(total)
	if traffic.lines > 0 {
		how += fmt.Sprintf(", %d numbers over %d connections", traffic.lines, traffic.connections)
	}
	if t.Failed() {
		t.Logf("%s\nstdout: %s\nstderr: %s", c.plan, s.stdout, s.stderr)
	}
	ended, _, _ := strings.Cut(how, ",")
	fmt.Printf("round    : %s\n", how)
	return ended
}

// judgeLife: the client lives, no round has asked it to end, and all is as it was. It goes on, or ends.
func (c *chaos) judgeLife(restored time.Time, traffic *traffic, total tally) string {
	t, s := c.t, c.s
	if len(c.gone.hosts) > 0 && c.node != "" {
		// Slurm finds out about a node after SlurmdTimeout at the earliest.
		s.stdout.await(3*patience, func(text string) string {
			if strings.Contains(text, `"event":"ended"`) {
				return text
			}
			return ""
		})
	}
	e, ok := s.find("ready")
	if !ok {
		e, ok = s.await(2*patience, "ready", "ended")
		ok = ok && e.Event == "ready"
	}
	if ok {
		body := poll(comeback, func() string {
			select {
			case <-s.done:
				return ""
			default:
			}
			code, body := get(t, e.URL)
			if code == 200 {
				return ""
			}
			return "answers " + body
		})
		if body != "" {
			total.wrong(t, urlLost, "%s %v after all was back", body, time.Since(restored))
		} else {
			// A connection that waited through the faults opens when the client tries again.
			late := time.NewTimer(comeback)
			defer late.Stop()
			select {
			case <-traffic.began:
			case <-s.done:
			case <-late.C:
			}
			if c.phase() == phaseReady {
				c.inspect(e.URL)
			}
		}
	}
	for _, name := range []string{"ending", "ended"} {
		if _, told := s.find(name); told {
			s.exit(2 * patience) // it is at it
		}
	}
	select {
	case <-s.done:
		last, _ := s.find("ended")
		return fmt.Sprintf("it could not go on and ended with %d, saying: %s", s.code, last.Reason)
	default:
	}
	c.wentOn = true
	back := time.Since(restored)
	began := time.Now()
	s.signal(syscall.SIGINT)
	s.exit(2 * patience)
	if left := c.jobs(); left != "" {
		total.wrong(t, untidy, "it has ended, and in the queue is %s", left)
	}
	return fmt.Sprintf("it went on and ended as asked, the URL answered after %.1f s, the end took %.1f s", back.Seconds(), time.Since(began).Seconds())
}

// judgeEnd: Ctrl-C was pressed, and whatever struck it then, it says whether the job is gone.
func (c *chaos) judgeEnd(total tally) string {
	t, s := c.t, c.s
	if !isClosedWithin(3*patience, s.done) {
		total.wrong(t, untidy, "it does not end")
		return "it did not end"
	}
	if left := c.jobs(); left != "" && s.code != 6 {
		total.wrong(t, untidy, "it ended with %d, and in the queue is %s", s.code, left)
	}
	return fmt.Sprintf("it was interrupted and ended with %d", s.code)
}

// isOfSalloc reports whether salloc asked for the job that the session has: it has no script.
func (c *chaos) isOfSalloc() bool {
	for _, job := range innerJobs(c.t, "cscs-"+c.id()) {
		if strings.Contains(job, "JobState=RUNNING ") && strings.Contains(job, "BatchFlag=0 ") {
			return true
		}
	}
	return false
}

// judgeRest: nothing of alice's runs, or will. Leases end what has no owner.
func (c *chaos) judgeRest(total tally, how *string) {
	t := c.t
	unowned := c.dead || c.s.code == 6 // it has told so
	limit := 40 * time.Second
	if unowned {
		limit += c.plan.lease
	}
	if c.crashed {
		sweepLinks(t) // from the login node to the node, which was not told
	}
	began := time.Now()
	left := poll(limit, func() string {
		var left []string
		inner := innerJobs(t, innerName(c.plan.n))
		for line := range strings.Lines(c.beside.others("COMPLETING")) {
			id, _, _ := strings.Cut(line, " ")
			if inner[id] == "" && id != c.urgent {
				left = append(left, "job "+strings.TrimSpace(line))
			}
		}
		for _, p := range c.beside.otherProcesses() {
			// Of a client that has not said goodbye the two sshds know nothing.
			if !isInner(p) && (!isSSHD(p) || !c.dead && !c.cut) {
				left = append(left, p.host+": "+p.cmdline)
			}
		}
		return strings.Join(left, "\n")
	})
	if left != "" {
		if unowned && c.struckEarly && c.isOfSalloc() {
			*how += ", and its job was left without a guard: " + ownerless
			cancelAll(c)
			return
		}
		what := leftBehind
		if strings.Contains(left, "job ") {
			what = jobLeaked
		}
		total.wrong(t, what, "%v after the end there is:\n%s", limit, left)
	}
	if unowned {
		*how += fmt.Sprintf(", the last of it went after %.1f s", time.Since(began).Seconds())
		c.beside.forgetSessions(t) // no client was left to clean it
	}
}

// judgeNeighbours: all that is not the session's is as before.
func (c *chaos) judgeNeighbours(total tally) {
	t := c.t
	submitted := strings.Contains(c.serverLog(), "submitted-"+innerName(c.plan.n))
	harm := c.beside.harmed(t, c.gone)
	if lost := c.lostByUser(); lost != "" {
		harm = strings.TrimSpace(harm + "\n" + lost)
	}
	if c.plan.inner {
		if more := c.beside.innerHarmed(t, innerName(c.plan.n), submitted, c.gone); more != "" {
			harm = strings.TrimSpace(harm + "\n" + more)
		}
	}
	if harm != "" {
		c.harmed = true
		total.wrong(t, foreignHarm, "%s", harm)
	}
}

// serverLog is what the session fetched of its server's log, "" if it could not.
func (c *chaos) serverLog() string {
	logs, _ := filepath.Glob(laptopHome(".local/state/cscs", c.id()+"-*.log"))
	all := ""
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		all += string(text)
	}
	return all
}

// jobs are the session's that hold something.
func (c *chaos) jobs() string { return sessionJobs(c.id()) }

func cancelAll(c *chaos) {
	c.t.Helper()
	_, _ = try(c.t, "root", "ctl", "scancel", "-n", "cscs-"+c.id())
	if left := poll(patience, c.jobs); left != "" {
		c.t.Errorf("cancelled, and there is: %s", left)
	}
	c.beside.forgetSessions(c.t)
}

func countEvents(events []event, name string) int {
	n := 0
	for _, e := range events {
		if e.Event == name {
			n++
		}
	}
	return n
}
