//go:build lab

package e2e

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
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

// TestChaos strikes sessions with random faults at random moments. A round depends on the
// seed and its number alone.
func TestChaos(t *testing.T) {
	total := tally{}
	ends := tally{}
	failed := 0
	for n := *chaosFirst; n < *chaosFirst+*chaosRounds; n++ {
		if !t.Run(fmt.Sprintf("round-%d", n), func(t *testing.T) { chaosRound(t, n, total, ends) }) {
			failed++
		}
	}
	fmt.Printf("chaos: seed %d, %d rounds, %d failed\n", *chaosSeed, *chaosRounds, failed)
	for _, k := range slices.Sorted(maps.Keys(ends)) {
		fmt.Printf("chaos: %4d %s\n", ends[k], k)
	}
	for _, k := range []string{jobLeaked, urlLost, sessionLost, eventsBroken, dataBroken, leftBehind, untidy, nodeDrained} {
		fmt.Printf("chaos: %4d times: %s\n", total[k], k)
	}
}

// What may go wrong.
const (
	jobLeaked    = "a job outlived its owner"
	urlLost      = "the URL did not come back"
	sessionLost  = "a session ended that had no reason to"
	eventsBroken = "events lost or repeated"
	dataBroken   = "bytes lost, repeated or ended in an orderly way"
	leftBehind   = "processes or files left behind"
	nodeDrained  = "Slurm drained a node (told and resumed; not counted as failed)"
	untidy       = "an end that took too long, or was claimed and not true"
)

// comeback is within what the URL has to answer after all is as it was: one second, the
// longest pause between two dials, and a dial, which TCP itself may begin late.
const comeback = 45 * time.Second

func chaosRound(t *testing.T, n int, total, ends tally) {
	begin(t)
	p := draw(rand.New(rand.NewPCG(*chaosSeed, uint64(n))))
	c := &chaos{t: t, plan: p}
	t.Cleanup(func() {
		if c.dead || c.cut || c.crashed {
			sweepLinks(t)
		}
	})
	if reasons := resumeNodes(t); len(reasons) > 0 {
		total[nodeDrained]++
		fmt.Printf("round %3d: before it: drained: %s\n", n, strings.Join(reasons, "; "))
	}
	if p.full > 0 {
		settle(t)
		c.occupy = occupy(t, "mallory", "-N", fmt.Sprint(len(lab.Nodes)))
	}
	c.s = cscs(t, "CSCS_LEASE_FLOOR=5s", "run", "--via", p.via, "--lease", p.lease.String(), "--", lab.testserver, "127.0.0.1:{port}")
	traffic := watchTraffic(c.s)
	defer traffic.stop()
	c.suffer()
	how := c.judge(traffic, total)
	ends[how]++
	verdict := "ok"
	if t.Failed() {
		verdict = "FAILED"
	}
	fmt.Printf("round %3d: lease %v; %s: %s: %s\n", n, p.lease, p, how, verdict)
}

// chaos is one session and what becomes of it.
type chaos struct {
	t      *testing.T
	plan   plan
	s      *session
	occupy string // mallory's job

	dead        bool // the client was killed
	interrupted bool // by Ctrl-C
	cut         bool // the line was, once
	crashed     bool // the login node did, once
	struckEarly bool // all on the login node died before the runner lived
}

// judge waits until all of the session is over, and says how it ended.
func (c *chaos) judge(traffic *traffic, total tally) string {
	t, s := c.t, c.s
	var how string
	restored := time.Now()
	switch {
	case c.dead:
		how = "the client was killed"
	case c.interrupted:
		how = c.judgeEnd(total)
	default:
		how = c.judgeLife(restored, total)
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
	if !c.dead && countEvents(events, "ended") != 1 {
		total.wrong(t, eventsBroken, "the end was not told\n%s", s.stdout)
	}
	traffic.stop()
	if traffic.bad != "" {
		total.wrong(t, dataBroken, "%s", traffic.bad)
	}
	c.judgeRest(total, &how)
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

// judgeLife: the client lives, nobody has asked it to end, and all is as it was. If it had
// a runner, it goes on.
func (c *chaos) judgeLife(restored time.Time, total tally) string {
	t, s := c.t, c.s
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
		}
	}
	for _, name := range []string{"ending", "ended"} {
		if _, told := s.find(name); told {
			s.exit(2 * patience) // it is at it
		}
	}
	select {
	case <-s.done:
		// Before there is a runner, the request goes with its connection.
		if _, guarded := s.find("started"); guarded && c.plan.lease > time.Minute || s.code == 0 {
			total.wrong(t, sessionLost, "it ended with %d", s.code)
		}
		last, _ := s.find("ended")
		return fmt.Sprintf("it could not go on and ended with %d, saying: %s", s.code, last.Reason)
	default:
	}
	back := time.Since(restored)
	began := time.Now()
	s.signal(syscall.SIGINT)
	if code := s.exit(2 * patience); code != 0 {
		total.wrong(t, untidy, "asked to end, it ended with %d", code)
	}
	if left := aliceJobs(t); left != "" {
		total.wrong(t, untidy, "it has ended, and in the queue is %s", left)
	}
	return fmt.Sprintf("it went on and ended as asked, the URL answered after %.1f s, the end took %.1f s", back.Seconds(), time.Since(began).Seconds())
}

// judgeEnd: Ctrl-C was pressed, and whatever struck it then, it says whether the job is gone.
func (c *chaos) judgeEnd(total tally) string {
	t, s := c.t, c.s
	select {
	case <-s.done:
	case <-time.After(3 * patience):
		total.wrong(t, untidy, "it does not end")
		return "it did not end"
	}
	if left := aliceJobs(t); left != "" && s.code != 6 {
		total.wrong(t, untidy, "it ended with %d, and in the queue is %s", s.code, left)
	}
	return fmt.Sprintf("it was interrupted and ended with %d", s.code)
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
		for line := range strings.Lines(squeue("COMPLETING")) {
			left = append(left, "job "+strings.TrimSpace(line))
		}
		for _, p := range userProcesses() {
			// Of a client that has not said goodbye the two sshds know nothing.
			if !isSSHD(p) || !c.dead && !c.cut {
				left = append(left, p.host+": "+p.cmdline)
			}
		}
		return strings.Join(left, "\n")
	})
	if left != "" {
		if unowned && c.struckEarly && c.plan.via == "salloc" {
			*how += ", and its job was left without a guard: " + nobody
			cancelAll(t)
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
		forgetSessions(t) // nobody was left to clean it
	}
}

func cancelAll(t *testing.T) {
	t.Helper()
	_, _ = try(t, "root", "daint", "scancel", "-u", "alice")
	settle(t)
	forgetSessions(t)
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
