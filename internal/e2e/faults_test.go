//go:build lab

package e2e

import (
	"maps"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// The fault matrix (invariants I1 and I2): each fault strikes a session in each
// phase of its life. One cell is one test:
//
//	scripts/test faults -run '^TestFault$/^client-killed$/^queued$'
//
// The cells of a row share one fault: their sessions are brought into their phases,
// then it strikes all of them at once, so that leases run out together.
// docs/reliability.md is the table for readers.

// The phases, in the order in which a session goes through them. It is asked for as by default: by
// salloc, or by sbatch where it has to wait. Where the name says so, it is by one of the two alone.
const (
	connecting      = "connecting"       // the jump host has answered, the login node has not yet
	submitted       = "submitted"        // the job runs, and salloc has not told its number yet
	submittedSbatch = "submitted-sbatch" // the same with sbatch
	handedOver      = "handed-over"      // the request has to wait and is taken back from salloc, and sbatch has not asked yet
	enqueued        = "enqueued"         // the job waits for a node that mallory has, and sbatch has not told its number yet
	queued          = "queued"           // the job waits, which the laptop knows
	queuedSalloc    = "queued-salloc"    // the same with salloc, which waits on the login node
	starting        = "starting"         // the runner lives, the server does not listen yet
	ready           = "ready"            // the URL answers
	readySbatch     = "ready-sbatch"     // the same, in what sbatch was granted
	ending          = "ending"           // Ctrl-C was pressed, and the server does not heed SIGTERM
)

var faultPhases = []string{connecting, submitted, submittedSbatch, handedOver, enqueued, queued, queuedSalloc, starting, ready, readySbatch, ending}

// outcome is what must become of a session in one cell. The empty one is for
// a client that died with the fault: its job is gone, and so is the directory.
type outcome struct {
	goesOn bool     // the client lives, and the session is or becomes ready and ends as asked
	code   int      // the client lives, and ends with this code
	says   []string // and its last event, or its error, says so
	stays  bool     // the session's directory stays on the cluster: nobody is left to clean it
	mayGo  bool     // with stays: or the shell there has seen the client's end first, and has taken all back
	waits  bool     // the request stays in the queue until there is a node, and ends then

	// known is the reason for which the job outlives its owner, which is a gap of I1. The
	// cell must be seen to leak just so: the day it does not, it fails, and known goes.
	known string
}

// lives reports whether there is a client that has to say how it went.
func (o outcome) lives() bool { return o.goesOn || o.code != 0 }

// fault is a row.
type fault struct {
	name   string
	lease  string
	within time.Duration // after the fault, nothing of the session runs any more
	strike func(*testing.T, *row)
	mend   func(*testing.T, *row) // once every cell has been looked at in the midst of it
	cells  map[string]outcome
}

// ownerless is why a job can leak. slurmctld keeps salloc's request and its allocation when the process that asked
// is dead. Until the runner lives, no process of ours can end it.
const ownerless = "salloc and its shell are dead, the runner is not there yet: Slurm keeps the request, which has no owner"

// orphaned are the cells of a fault that kills the client and all that is on the login node.
var orphaned = map[string]outcome{
	connecting: {},
	submitted:  {known: ownerless, stays: true}, submittedSbatch: {stays: true},
	handedOver: {stays: true},
	enqueued:   {stays: true}, queued: {stays: true}, queuedSalloc: {known: ownerless, stays: true},
	starting: {stays: true}, ready: {stays: true}, readySbatch: {stays: true}, ending: {stays: true},
}

// unattended are the cells of a fault that kills the client alone.
var unattended = map[string]outcome{
	connecting: {},
	submitted:  {}, submittedSbatch: {stays: true, mayGo: true},
	handedOver: {waits: true, stays: true, mayGo: true},
	enqueued:   {waits: true, stays: true, mayGo: true}, queued: {waits: true, stays: true}, queuedSalloc: {},
	starting: {stays: true}, ready: {stays: true}, readySbatch: {stays: true}, ending: {stays: true},
}

// but are the same cells with other outcomes in some phases.
func but(cells map[string]outcome, o outcome, phases ...string) map[string]outcome {
	changed := map[string]outcome{}
	maps.Copy(changed, cells)
	for _, p := range phases {
		changed[p] = o
	}
	return changed
}

// unharmed are the cells of a fault that costs nobody anything.
var unharmed = but(nil, outcome{goesOn: true}, faultPhases...)

// faults is the matrix.
var faults = []fault{
	{name: "client-killed", lease: "5s", within: 25 * time.Second, cells: unattended,
		strike: func(t *testing.T, r *row) { kill(r.clients(t)) },
		mend:   func(t *testing.T, r *row) { r.free(t) }},
	{name: "laptop-crashed", lease: "5s", within: 25 * time.Second, cells: unattended,
		strike: func(t *testing.T, _ *row) { tell(t, "crash", "laptop") },
		mend: func(t *testing.T, r *row) {
			tell(t, "boot", "laptop")
			r.free(t)
		}},
	{name: "cut", lease: "5s", within: 25 * time.Second,
		strike: func(t *testing.T, _ *row) { tell(t, "cut") },
		mend: func(t *testing.T, r *row) {
			tell(t, "heal")
			r.free(t)
		},
		cells: map[string]outcome{
			connecting:      {code: 1},
			submitted:       {code: 6, says: []string{"scancel"}},
			submittedSbatch: {code: 6, says: []string{"scancel"}, stays: true},
			handedOver:      {code: 6, says: []string{"scancel"}, waits: true, stays: true},
			enqueued:        {code: 6, says: []string{"scancel"}, waits: true, stays: true},
			queued:          {code: 6, says: []string{"scancel"}, waits: true, stays: true},
			queuedSalloc:    {code: 6, says: []string{"scancel"}},
			starting:        {code: 6, says: []string{"scancel"}, stays: true},
			ready:           {code: 6, says: []string{"scancel"}, stays: true},
			readySbatch:     {code: 6, says: []string{"scancel"}, stays: true},
			ending:          {code: 6, says: []string{"scancel"}, stays: true},
		}},
	{name: "cut-healed", lease: "60s", cells: unharmed,
		strike: func(t *testing.T, r *row) {
			tell(t, "cut")
			cut := time.Now()
			r.untilRedialled(t)
			waittest.SpendRealTime(time.Until(cut.Add(20 * time.Second))) // an idle client notices, and a dial of 30 s goes on
			tell(t, "heal")
			r.healed = time.Now()
			r.free(t)
		}},
	{name: "login-processes-killed", lease: "60s",
		strike: func(t *testing.T, r *row) {
			kill(onLogin())
			r.healed = time.Now()
			r.free(t)
		},
		// In connecting it was talking to root's sshd.
		cells: but(unharmed, outcome{code: 1, says: []string{"lost"}}, submitted, submittedSbatch, handedOver, enqueued, queuedSalloc)},
	{name: "login-crashed", lease: "120s",
		strike: func(t *testing.T, r *row) {
			tell(t, "crash", "daint")
			tell(t, "boot", "daint")
			r.healed = time.Now()
			r.free(t)
		},
		cells: but(but(unharmed, outcome{code: 1, says: []string{"lost"}}, submitted, submittedSbatch, handedOver, enqueued, queuedSalloc),
			outcome{code: 1, says: []string{"cannot reach daint"}}, connecting)},
	{name: "slurmctld-down", lease: "180s", cells: unharmed,
		strike: func(t *testing.T, r *row) {
			tell(t, "stop-service", "ctl", "slurmctld")
			resumeSSHD(t)
			waittest.SpendRealTime(time.Minute) // the length of the fault
			tell(t, "start-service", "ctl", "slurmctld")
			r.healed = time.Now()
			r.free(t)
		}},
	{name: "client-killed-slurmctld-down", lease: "5s", within: 120 * time.Second, cells: unattended,
		strike: func(t *testing.T, r *row) {
			tell(t, "stop-service", "ctl", "slurmctld")
			kill(r.clients(t))
			// Their leases run out while nobody can be told so, and it goes on for long
			// enough that whoever tries a few times only would have given up.
			r.untilServersEnd(t)
			waittest.SpendRealTime(time.Until(r.struck.Add(time.Minute))) // the length of the fault
			tell(t, "start-service", "ctl", "slurmctld")
			r.free(t)
		}},
	{name: "client-and-login-processes-killed", lease: "5s", within: 25 * time.Second, cells: orphaned,
		strike: func(t *testing.T, r *row) {
			// Whoever is left for a moment on the login node would take the request back.
			kill(append(onLogin(), r.clients(t)...))
			r.free(t)
		}},
	{name: "client-killed-login-crashed", lease: "5s", within: 30 * time.Second, cells: orphaned,
		strike: func(t *testing.T, r *row) {
			tell(t, "crash", "daint")
			kill(r.clients(t))
			r.free(t)
		},
		mend: func(t *testing.T, _ *row) { tell(t, "boot", "daint") }},
	{name: "laptop-and-login-crashed", lease: "5s", within: 30 * time.Second, cells: orphaned,
		strike: func(t *testing.T, r *row) {
			tell(t, "crash", "laptop")
			tell(t, "crash", "daint")
			r.free(t)
		},
		mend: func(t *testing.T, _ *row) {
			tell(t, "boot", "daint")
			tell(t, "boot", "laptop")
		}},
}

func TestFault(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			begin(t)
			settle(t)
			r := newRow(t, f)
			for _, phase := range faultPhases {
				t.Run(phase, func(t *testing.T) {
					r.join()
					t.Parallel()
					r.cell(t, phase)
				})
			}
		})
	}
}
