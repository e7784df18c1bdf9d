package session

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/slurm"
)

var errNoJob = errors.New("access denied by pam_slurm_adopt: you have no active jobs on this node")

// impatient is a config that believes a refusal soon.
func (a *alps) impatient() Config {
	cfg := a.config()
	cfg.admission = time.Second
	return cfg
}

// stepReports counts how often the session has reported that it connects through a job step.
func (l *life) stepReports() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.all {
		if e.Event == EventWarning && strings.Contains(e.Message, "going through a job step") {
			n++
		}
	}
	return n
}

// entered counts the steps with an sshd of their own that were asked for.
func (a *alps) entered() int {
	n := 0
	for line := range strings.Lines(a.Calls()) {
		if strings.HasPrefix(line, "srun ") && strings.Contains(line, "/remote.sh sshd ") {
			n++
		}
	}
	return n
}

// noSteps waits until no srun runs any more.
func (a *alps) noSteps() {
	a.t.Helper()
	waittest.Until(a.t, 20*time.Second, "the end of every srun", func() bool { return a.Running("/srun ") == 0 })
}

// The node does not let us in though the job runs there: it is reached through a job
// step, which is told once, with the reason.
func TestStepTransport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		bar   func(a *alps)
		words string
	}{
		{"refused by PAM", func(a *alps) { a.refuse = func() error { return errNoJob } }, "pam_slurm_adopt"},
		{"no sshd", func(a *alps) { a.closed = func() error { return errors.New("Connection refused") } }, "Connection refused"},
		{"no route", func(a *alps) { a.closed = func() error { return errors.New("No route to host") } }, "No route to host"},
		{"prohibited", func(a *alps) {
			a.closed = func() error { return &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "open failed"} }
		}, "open failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAlps(t)
			tt.bar(a)
			l := a.start(a.impatient())
			if w := l.await(EventWarning); !strings.Contains(w.Message, tt.words) || !strings.Contains(w.Message, "nid001001") {
				t.Errorf("told: %q", w.Message)
			}
			ready := l.await(EventReady)
			if err := get(t, ready.URL); err != nil {
				t.Errorf("through the step: %v", err)
			}
			if n := a.entered(); n != 1 {
				t.Errorf("%d steps", n)
			}
			l.endReady()
			if n := l.stepReports(); n != 1 {
				t.Errorf("told %d times", n)
			}
			a.nothingLeft()
			a.noSteps()
		})
	}
}

// TestNodeByAddress: the login node does not know the node's name. The address that the runner sees there leads
// to its sshd, over a connection that was lost, too.
func TestNodeByAddress(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	a.unresolved = true
	l := a.start(a.impatient())
	ready := l.await(EventReady)
	a.ela.Cut()
	l.await(EventRestored)
	if err := get(t, ready.URL); err != nil {
		t.Error(err)
	}
	l.endReady()
	if n, steps := l.stepReports(), a.entered(); n != 0 || steps != 0 {
		t.Errorf("went through a job step: told %d times, %d steps", n, steps)
	}
	a.nothingLeft()
}

// Once it has led to the node, it is the way for the rest of the session: after the
// loss of the chain, and of the step.
func TestStepTransportIsKept(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	var asked atomic.Int32
	a.refuse = func() error { asked.Add(1); return errNoJob }
	l := a.start(a.impatient())
	ready := l.await(EventReady)
	before := asked.Load()
	for _, lose := range []func(){a.ela.Cut, func() { a.Kill("/out.") }} {
		lose()
		l.await(EventLost)
		l.await(EventRestored)
		if err := get(t, ready.URL); err != nil {
			t.Errorf("after the connection came back: %v", err)
		}
	}
	if n := asked.Load() - before; n > 0 {
		t.Errorf("ssh to the node was tried %d times more", n)
	}
	l.endReady()
	if n, steps := l.stepReports(), a.entered(); n != 1 || steps != 3 {
		t.Errorf("told %d times, %d steps", n, steps)
	}
	a.nothingLeft()
	a.noSteps()
}

// refuseOnceReady starts a session that is ready, and whose node is then lost and refuses us while shut is true.
func (a *alps) refuseOnceReady() (l *life, ready Event, shut *atomic.Bool) {
	shut = new(atomic.Bool)
	a.refuse = func() error {
		if shut.Load() {
			return errNoJob
		}
		return nil
	}
	l = a.start(a.impatient())
	ready = l.await(EventReady)
	shut.Store(true)
	a.node.Cut()
	l.await(EventLost)
	return l, ready, shut
}

// A node that let us in first, and then no more.
func TestStepTransportLater(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l, ready, _ := a.refuseOnceReady()
	l.await(EventRestored)
	if err := get(t, ready.URL); err != nil {
		t.Errorf("through the step: %v", err)
	}
	if n := l.stepReports(); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// A node that lets us in no more, and has no sshd for a step either: the session has
// work there, so it goes on trying.
func TestNoWayLater(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "CSCS_SSHD_DIRS=/nowhere")
	l, ready, shut := a.refuseOnceReady()
	waittest.Until(t, 30*time.Second, "the step is tried", func() bool { return a.entered() > 0 })
	shut.Store(false)
	l.await(EventRestored)
	if err := get(t, ready.URL); err != nil {
		t.Errorf("when ssh came back: %v", err)
	}
	if n, steps := l.stepReports(), a.entered(); n != 0 || steps != 1 {
		t.Errorf("told %d times, %d steps", n, steps)
	}
}

// Nothing leads to the node: both reasons are told, and all is taken down.
func TestNoWay(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "CSCS_SSHD_DIRS=/nowhere")
	a.refuse = func() error { return errNoJob }
	err := a.start(a.impatient()).end()
	var none *NodeError
	var refused *chain.AuthError
	var remote *slurm.RemoteError
	if !errors.As(err, &none) || !errors.As(none.SSH, &refused) || !errors.As(none.Step, &remote) || remote.Kind != "nosshd" {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
	a.noSteps()
}

// TestNodeAwayAtFirst: the node went down right after the grant, so it answers neither the login node nor Slurm. It is
// dialled until it is back.
func TestNodeAwayAtFirst(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_ENTRY_FAILS=Task launch for StepId=4711.1 failed on node nid001001: Communication connection failure")
	var dials atomic.Int32
	a.closed = func() error {
		if dials.Add(1) > 4 {
			return nil
		}
		return errors.New("No route to host")
	}
	l := a.start(a.impatient())
	ready := l.await(EventReady)
	if err := get(t, ready.URL); err != nil {
		t.Error(err)
	}
	l.endReady()
	if steps := a.entered(); steps != 1 {
		t.Errorf("%d steps", steps)
	}
	a.nothingLeft()
}

// The node crashes right after the grant and boots: its sshd refuses a user without a job, and Slurm makes no step in a job
// that has ended. The session reports the end of the job, and gives no advice for the site.
func TestJobEndsBeforeTheNodeIsReached(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_ENTRY_FAILS=Slurm job 4711 has expired; Check SLURM_JOB_ID environment variable")
	var dials atomic.Int32
	a.closed = func() error {
		if a.entered() > 0 && dials.Add(1) == 1 {
			a.EndJob(a.Jobs()[0], "NODE_FAIL")
			a.Kill("remote.sh run") // all of the node dies
		}
		return errors.New("Connection refused")
	}
	cfg := a.impatient()
	cfg.StartTimeout = 2 * time.Minute
	l := a.start(cfg)
	l.await(EventEnding)
	err := l.end()
	var ended *slurm.JobEndedError
	if !errors.As(err, &ended) {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

// A node with another host key than the runner has seen there is no reason to go
// another way (invariant I7).
func TestStrangerIsNotPassedBy(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.NodeHop = func(node string, keys chain.HostKeys) chain.Hop {
		hop := a.nodeHop(node, keys)
		hop.HostKeys = chain.PinnedKeys(sshtest.NewKey(t).PublicKey())
		return hop
	}
	err := a.start(cfg).end()
	var stranger *chain.HostKeyError
	if !errors.As(err, &stranger) || a.entered() > 0 {
		t.Errorf("ended with %v, %d steps", err, a.entered())
	}
	a.nothingLeft()
}

// A node whose sshd lets us in and forwards no connections (AllowTcpForwarding, PermitOpen):
// that is noticed before the session is ready.
func TestStepTransportWhereNothingIsForwarded(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	a.forbids.Store(true)
	l := a.start(a.impatient())
	ready := l.await(EventReady)
	if n := l.stepReports(); n != 1 {
		t.Errorf("told %d times before it was ready", n)
	}
	if err := get(t, ready.URL); err != nil {
		t.Errorf("through the step: %v", err)
	}
	l.endReady()
	a.nothingLeft()
	a.noSteps()
}

// A node whose sshd forwards connections first, and then no more: from the next connection to
// it on, as sshd reads its configuration anew, or at once.
func TestStepTransportWhereNothingIsForwardedLater(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*alps){
		"a new connection": func(a *alps) { a.node.Cut() },
		"the same one":     func(*alps) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAlps(t)
			l := a.start(a.impatient())
			ready := l.await(EventReady)
			a.forbids.Store(true)
			lose(a)
			if err := get(t, ready.URL); err != nil {
				t.Errorf("through the step: %v", err)
			}
			if n := l.stepReports(); n != 1 {
				t.Errorf("told %d times", n)
			}
			l.endReady()
			a.nothingLeft()
			a.noSteps()
		})
	}
}

// A node that was reached forwards nothing any more, and the step that would help cannot be had: neither is asked for
// again and again.
func TestStepTransportAsksSeldom(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "CSCS_SSHD_DIRS=/nowhere")
	var logins atomic.Int32
	a.refuse = func() error { logins.Add(1); return nil }
	l := a.start(a.impatient())
	l.await(EventReady)
	a.forbids.Store(true)
	before := logins.Load()
	a.node.Cut()
	l.await(EventLost)
	waittest.SpendRealTime(6 * time.Second) // in which few attempts may be made
	if steps, n := a.entered(), logins.Load()-before; steps > 1 || n > 15 {
		t.Errorf("%d steps and %d logins to the node in 6 s", steps, n)
	}
	l.interrupt(ErrInterrupted)
	_ = l.end()
}
