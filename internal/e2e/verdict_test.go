//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A phase of a session, as its events tell it.
type phase string

const (
	phaseConnecting phase = "connecting" // there is no event of the login node yet
	phaseSubmitted  phase = "submitted"  // the login node has answered
	phaseQueued     phase = "queued"
	phaseGranted    phase = "granted"
	phaseStarting   phase = "starting" // the runner lives, the server does not listen yet
	phaseReady      phase = "ready"
	phaseEnding     phase = "ending"
	phaseOver       phase = "over" // the client has ended
)

// phaseOf tells a session's phase from its events. cluster is the login node's name in them.
func phaseOf(events []event, cluster string) phase {
	now := phaseConnecting
	for _, e := range events {
		switch e.Event {
		case "connected":
			if e.Host == cluster && now == phaseConnecting {
				now = phaseSubmitted
			}
		case "queued":
			now = phaseQueued
		case "granted":
			now = phaseGranted
		case "started":
			now = phaseStarting
		case "ready":
			now = phaseReady
		case "ending", "error":
			now = phaseEnding
		case "ended":
			now = phaseOver
		}
	}
	return now
}

// strike is a fault that has met a session.
type strike struct {
	fault string
	phase phase
}

// finish is how a session ended.
type finish struct {
	code   int
	killed bool // the client was, and there is no code
	asked  bool // it went on through all faults, and ended when the round asked it to
	ready  bool // it was ready before it ended
}

// The names of the faults.
const (
	faultCut       = "cut"
	faultLoss      = "loss of 20%"
	faultRTT       = "rtt of 200 ms"
	faultSleep     = "the laptop sleeps"
	faultLoginKill = "kill -9 of all on the login node"
	faultJumpKill  = "kill -9 of all on the jump host"
	faultLogin     = "the login node crashes"
	faultSlurm     = "slurmctld stops"
	faultKill      = "kill -9 of the client"
	faultLaptop    = "the laptop crashes"
	faultInterrupt = "Ctrl-C"
	faultRequeue   = "requeue"
	faultPreempt   = "preemption"
	faultNode      = "the compute node crashes"
)

// explanation is an end that a fault explains if it struck in one of the phases.
type explanation struct {
	codes  []int
	phases []phase
	lease  bool // only by the end of a lease that is shorter than the fault may last
}

var (
	unguarded = []phase{phaseConnecting, phaseSubmitted, phaseQueued, phaseGranted}
	allocated = []phase{phaseSubmitted, phaseQueued, phaseGranted, phaseStarting, phaseReady}

	// Before there is a runner, the request goes with its connection.
	requestLost = explanation{codes: []int{1}, phases: unguarded}
	// The runner ends the job of a client that it does not hear.
	leaseOver = explanation{codes: []int{4}, phases: allocated, lease: true}
	// Slurm takes the node away.
	takenAway = explanation{codes: []int{4}, phases: []phase{phaseSubmitted, phaseGranted, phaseStarting, phaseReady}}
)

// explained are the ends that each fault explains. A fault with an empty list explains none: the session
// has to go on. Exit code 3 (authentication) is in no list, since no fault touches a key.
var explained = map[string][]explanation{
	faultCut:       {requestLost, leaseOver},
	faultSleep:     {requestLost, leaseOver},
	faultLoss:      {leaseOver},
	faultRTT:       {},
	faultLoginKill: {requestLost, leaseOver},
	faultJumpKill:  {requestLost, leaseOver},
	faultLogin:     {requestLost, leaseOver},
	faultSlurm:     {},
	faultRequeue:   {}, // the request forbids it
	faultPreempt:   {takenAway},
	faultNode:      {takenAway},
	faultKill:      {},
	faultLaptop:    {requestLost}, // its network goes first, and the client may see that
	faultInterrupt: {},
}

// killers end the client itself.
var killers = []string{faultKill, faultLaptop}

// deafening are the faults during which a client that is interrupted cannot confirm that its job is gone.
var deafening = []string{faultCut, faultSleep, faultLoginKill, faultJumpKill, faultLogin, faultSlurm}

// unexplained tells why the strikes do not explain the end of a session, "" if they do. shortLease: its lease
// ends before the faults do.
func unexplained(f finish, strikes []strike, shortLease bool) string {
	has := func(names ...string) bool {
		return slices.ContainsFunc(strikes, func(s strike) bool { return slices.Contains(names, s.fault) })
	}
	if f.asked {
		if f.code != 0 || !f.ready {
			return fmt.Sprintf("asked to end, it ended with %d", f.code)
		}
		return ""
	}
	if len(strikes) == 0 {
		return fmt.Sprintf("it ended with %d before any fault", f.code)
	}
	if f.killed {
		if !has(killers...) {
			return "no fault killed the client"
		}
		return ""
	}
	if has(faultInterrupt) {
		switch {
		case f.code == 0 && f.ready, f.code == 130 && !f.ready, f.code == 6 && has(deafening...):
			return ""
		}
	}
	for _, s := range strikes {
		for _, e := range explained[s.fault] {
			if slices.Contains(e.codes, f.code) && slices.Contains(e.phases, s.phase) && (!e.lease || shortLease) {
				return ""
			}
		}
	}
	var words []string
	for _, s := range strikes {
		words = append(words, fmt.Sprintf("%s (%s)", s.fault, s.phase))
	}
	return fmt.Sprintf("no fault explains the end with %d: %s", f.code, strings.Join(words, ", "))
}

// readyShare is the part of a run's rounds, in percent, that must be ready before their first fault.
const readyShare = 60

// tooFewReady tells why a run of rounds shows too little, "" if it does not. planned is how many rounds wait
// until they are ready; fewer than the share are planned only where single rounds are repeated.
func tooFewReady(rounds, planned, ready int) string {
	if rounds == 0 {
		return "there was no round"
	}
	if want := min(planned, (rounds*readyShare+99)/100); ready < want {
		return fmt.Sprintf("%d of %d rounds were ready before their first fault, want %d", ready, rounds, want)
	}
	return ""
}

func TestUnexplained(t *testing.T) {
	ended := func(code int) finish { return finish{code: code} }
	wasReady := func(code int) finish { return finish{code: code, ready: true} }
	for _, c := range []struct {
		name    string
		end     finish
		strikes []strike
		short   bool
		ok      bool
	}{
		{"it goes on", finish{asked: true, ready: true}, nil, false, true},
		{"it goes on through a fault", finish{asked: true, ready: true}, []strike{{faultCut, phaseReady}}, false, true},
		{"it ends with an error when it is asked to", finish{asked: true, ready: true, code: 6}, nil, false, false},
		{"it was never ready", finish{asked: true}, nil, false, false},

		{"the key is refused", ended(3), []strike{{faultCut, phaseConnecting}}, true, false},
		{"the key is refused, then Ctrl-C", ended(3), []strike{{faultCut, phaseConnecting}, {faultInterrupt, phaseConnecting}}, true, false},
		{"the key is refused, and all else happens", ended(3), everyStrike(), true, false},
		{"it ends by itself", ended(1), nil, false, false},
		{"it ends by itself with 0", wasReady(0), nil, false, false},
		{"the client dies by itself", finish{killed: true}, nil, false, false},
		{"the client dies after a cut", finish{killed: true}, []strike{{faultCut, phaseReady}}, true, false},
		{"the client is killed", finish{killed: true}, []strike{{faultKill, phaseQueued}}, true, true},
		{"the laptop crashes", finish{killed: true}, []strike{{faultLaptop, phaseReady}}, true, true},
		{"the laptop's network goes first", ended(1), []strike{{faultLaptop, phaseConnecting}}, true, true},
		{"the laptop's network goes first, when ready", wasReady(1), []strike{{faultLaptop, phaseReady}}, true, false},

		{"Ctrl-C before ready", ended(130), []strike{{faultInterrupt, phaseQueued}}, false, true},
		{"Ctrl-C when ready", wasReady(0), []strike{{faultInterrupt, phaseReady}}, false, true},
		{"Ctrl-C before ready, told as success", ended(0), []strike{{faultInterrupt, phaseQueued}}, false, false},
		{"Ctrl-C when ready, told as interrupted", wasReady(130), []strike{{faultInterrupt, phaseReady}}, false, false},
		{"130 without Ctrl-C", ended(130), []strike{{faultCut, phaseQueued}}, true, false},
		{"Ctrl-C while the line is cut", wasReady(6), []strike{{faultCut, phaseReady}, {faultInterrupt, phaseReady}}, false, true},
		{"Ctrl-C, and nothing is in the way", wasReady(6), []strike{{faultRTT, phaseReady}, {faultInterrupt, phaseReady}}, false, false},
		{"6 without Ctrl-C", wasReady(6), []strike{{faultCut, phaseReady}}, true, false},

		{"a cut before there is a runner", ended(1), []strike{{faultCut, phaseQueued}}, false, true},
		{"a cut when it is ready", wasReady(1), []strike{{faultCut, phaseReady}}, true, false},
		{"a cut longer than the lease", wasReady(4), []strike{{faultCut, phaseReady}}, true, true},
		{"a cut shorter than the lease", wasReady(4), []strike{{faultCut, phaseReady}}, false, false},
		{"a lease that is over before there is a job", ended(4), []strike{{faultCut, phaseConnecting}}, true, false},
		{"a long line", ended(1), []strike{{faultRTT, phaseConnecting}}, true, false},
		{"the login node, before there is a runner", ended(1), []strike{{faultLogin, phaseSubmitted}}, false, true},
		{"the login node, when it is ready", wasReady(1), []strike{{faultLogin, phaseReady}}, false, false},
		{"slurmctld explains nothing", ended(4), []strike{{faultSlurm, phaseSubmitted}}, true, false},
		{"a requeue explains nothing", wasReady(4), []strike{{faultRequeue, phaseReady}}, true, false},
		{"preemption", wasReady(4), []strike{{faultPreempt, phaseReady}}, false, true},
		{"preemption that the server is blamed for", wasReady(5), []strike{{faultPreempt, phaseReady}}, false, false},
		{"the node crashes", wasReady(4), []strike{{faultNode, phaseReady}}, false, true},
		{"the node of one that waits", ended(4), []strike{{faultNode, phaseQueued}}, false, false},
		{"one of two explains it", wasReady(4), []strike{{faultSlurm, phaseReady}, {faultNode, phaseReady}}, false, true},
		{"a fault that the table does not know", ended(1), []strike{{"moonlight", phaseConnecting}}, true, false},
	} {
		if why := unexplained(c.end, c.strikes, c.short); (why == "") != c.ok {
			t.Errorf("%s: %q, want it explained: %v", c.name, why, c.ok)
		}
	}
}

// everyStrike is every fault but those that kill the client, in every phase.
func everyStrike() []strike {
	var all []strike
	for name := range explained {
		if slices.Contains(killers, name) {
			continue
		}
		for _, p := range []phase{phaseConnecting, phaseSubmitted, phaseQueued, phaseGranted, phaseStarting, phaseReady, phaseEnding} {
			all = append(all, strike{name, p})
		}
	}
	return all
}

func TestTooFewReady(t *testing.T) {
	for _, c := range []struct {
		rounds, planned, ready int
		ok                     bool
	}{
		{0, 0, 0, false},
		{9, 6, 0, false}, // as where the jump host refuses the key
		{9, 6, 5, false},
		{9, 6, 6, true},
		{200, 133, 119, false},
		{200, 133, 120, true},
		{1, 0, 0, true}, // a single early round again
		{1, 1, 0, false},
	} {
		if why := tooFewReady(c.rounds, c.planned, c.ready); (why == "") != c.ok {
			t.Errorf("%+v: %q", c, why)
		}
	}
}

func TestPhaseOf(t *testing.T) {
	for _, c := range []struct {
		names string
		want  phase
	}{
		{"", phaseConnecting},
		{"connecting connected:ela connecting", phaseConnecting},
		{"connecting connected:ela connecting connected:daint", phaseSubmitted},
		{"connected:daint queued", phaseQueued},
		{"connected:daint queued lost connected:daint", phaseQueued},
		{"connected:daint granted", phaseGranted},
		{"granted started", phaseStarting},
		{"granted started ready lost", phaseReady},
		{"granted started ready lost restored warning", phaseReady},
		{"ready ending", phaseEnding},
		{"connected:daint error ended", phaseOver},
	} {
		var events []event
		for _, word := range strings.Fields(c.names) {
			name, host, _ := strings.Cut(word, ":")
			events = append(events, event{Event: name, Host: host})
		}
		if got := phaseOf(events, "daint"); got != c.want {
			t.Errorf("%q: %s, want %s", c.names, got, c.want)
		}
	}
}
