package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/slurm"
)

// TunnelConfig is what a tunnel to a server that already runs needs to know.
type TunnelConfig struct {
	ID, Cluster string

	Hops    []chain.Hop
	Chain   chain.Options
	Dial    func(context.Context, chain.Options) (*share.Chain, error) // see Config
	NodeHop func(node string, keys chain.HostKeys) chain.Hop

	Node string // the node, or
	Job  string // the job whose first node is used; neither: the user's only running job
	Port int    // of the server on the node

	LocalPort     int // 0: the server's port, or the next free one
	AllowWideBind bool
	Metrics       *Metrics // see Config
	Room          Room     // see Config
	Protect       *bool    // see Config
	Open          func(ctx context.Context, link string) error
	Explain       func(error) Explanation
}

// Tunnel forwards a local port to a server that already runs on a compute node. It ends when ctx or
// the job there ends, when the connection is lost, or when the port turns out not to be the user's.
// It allocates and cancels nothing. Events and errors are those of Run, and *slurm.WhichJobError. A
// job that completed (COMPLETED) is no error.
func Tunnel(ctx context.Context, cfg TunnelConfig, emit func(Event)) error {
	t := &tunnel{cfg: cfg, sessionCore: newSessionCore(Config{
		ID: cfg.ID, Cluster: cfg.Cluster, Hops: cfg.Hops, Chain: cfg.Chain, Dial: cfg.Dial, NodeHop: cfg.NodeHop,
		App: app.App{LocalPort: cfg.Port, Path: "/"}, LocalPort: cfg.LocalPort, Metrics: cfg.Metrics, Room: cfg.Room, Protect: cfg.Protect, Open: cfg.Open, Explain: cfg.Explain,
	}, emit)}
	cause := t.runTunnel(ctx)
	if errors.Is(cause, context.Canceled) && ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	t.close()
	if (errors.Is(cause, ErrInterrupted) || errors.Is(cause, ErrDetached)) && t.server.ready {
		cause = nil
	}
	reason := "ended as asked"
	if errors.Is(cause, errJobCompleted) {
		cause, reason = nil, "job "+t.job.info.ID+" has ended"
	}
	return t.reportEnd(cause, reason, &serverLog{})
}

// tunnel is the state of one Tunnel.
type tunnel struct {
	sessionCore
	cfg TunnelConfig

	found     slurm.Node         // the result of slurm.Find
	jobDoubts chan slurm.Doubt   // has the job watch ask Slurm now; nil: no job is watched
	unwatch   context.CancelFunc // ends the job watch
	limit     *time.Timer        // timer of the next warning of the job's time limit
	broken    error              // error of the connection to the node, until the state of the job is known
	verdict   <-chan time.Time   // ends the wait for that; nil: there is none
}

// jobTold is a report of the job watch. The task of an array job can have two job numbers.
type jobTold struct {
	job  string
	info slurm.JobInfo
}

// errJobCompleted reports that the job of a tunnel has completed.
var errJobCompleted = errors.New("the job has ended")

// jobVerdict is how long a tunnel that lost its node waits for the state of the job.
const jobVerdict = 20 * time.Second

// runTunnel connects the tunnel, forwards until it ends, and returns why it ended.
func (t *tunnel) runTunnel(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stopWork = stop
	if err := t.listenLocal(work); err != nil {
		return err
	}
	if err := t.dialLogin(ctx); err != nil {
		return err
	}
	if err := t.reachNode(ctx); err != nil {
		return err
	}

	t.limit = time.NewTimer(time.Hour)
	defer t.limit.Stop()
	t.watchJob(work, t.found.Runs)
	nodeEnd, monitorEnd := t.node.chain.Done(), make(chan error, 1)

	t.server.port, t.server.monitor = t.cfg.Port, slurm.NewPortMonitor(t.cfg.Port, time.Second)
	t.work.Go(func() { t.tellNotices(work) })
	t.work.Go(func() {
		monitorEnd <- t.server.monitor.Run(work, t.node.chain, func(l slurm.Listener) error { return t.sendMessage(work, l) })
	})
	for {
		select {
		case m := <-t.messages:
			switch m := m.(type) {
			case slurm.Listener:
				if err := t.handleListener(work, m); err != nil {
					return err
				}
			case unforwarded:
				t.warnUnforwarded(m.err)
			case localLost:
				return m.err
			case openDone:
				if m.err != nil {
					t.out.warn(t.cfg.Explain(m.err).Message)
				}
			case silence:
				t.heedSilence(work, m)
			case nodeUnresponsive:
				if m.chain == t.node.chain && t.login.lostHop == "" {
					t.listener.SetTarget(nil)
					t.tellNodeLost(noAnswer)
					t.sendDoubt(slurm.ServerGone)
				}
			case jobTold:
				if err := t.handleJobInfo(work, m); err != nil {
					return err
				}
			}
		case err := <-monitorEnd:
			ended := &slurm.RemoteError{Kind: "protocol", Message: "the watch over the port on " + t.node.name + " ended"}
			if err := t.doubtJob(cmp.Or[error](err, ended)); err != nil {
				return err
			}
		case <-t.limit.C:
			t.warnOfLimit()
			t.awaitLimit(t.limit)
		case <-t.login.chain.Done():
			return t.login.chain.Err()
		case <-nodeEnd:
			nodeEnd = nil
			if err := t.doubtJob(t.node.chain.Err()); err != nil {
				return err
			}
		case <-t.verdict:
			return t.broken
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// attributeServer finds the job that the server runs in: that of the listening process. If the node
// does not show it, it can only be the requested job, or the user's only job there.
func (t *tunnel) attributeServer(work context.Context, job string) {
	info := t.found.Runs
	if job != "" && job != info.ID {
		info = slurm.JobInfo{ID: job}
		if i := slices.IndexFunc(t.found.Jobs, func(j slurm.JobInfo) bool { return j.ID == job }); i >= 0 {
			info = t.found.Jobs[i]
		}
	}
	if info.ID != t.job.info.ID {
		t.watchJob(work, info)
	}
}

// watchJob makes job the tunnel's job and watches no other. With an empty ID it watches none.
func (t *tunnel) watchJob(work context.Context, job slurm.JobInfo) {
	if t.unwatch != nil {
		t.unwatch()
	}
	t.job.info, t.jobDoubts, t.unwatch = job, nil, nil
	t.limit.Stop()
	t.awaitLimit(t.limit)
	if job.ID == "" {
		return
	}
	work, t.unwatch = context.WithCancel(work)
	t.jobDoubts = make(chan slurm.Doubt, 1)
	login, doubts := t.login.chain, t.jobDoubts
	t.work.Go(func() {
		// If the watch ends early, the tunnel goes on without a job.
		_ = slurm.WatchJob(work, login, job.ID, doubts, func(info slurm.JobInfo) error { return t.sendMessage(work, jobTold{job.ID, info}) })
	})
}

// handleJobInfo handles a report of the job watch. If the job has ended, it returns the reason. A
// job that was never seen to run is not the server's: a process can carry the number of a job that
// is over.
func (t *tunnel) handleJobInfo(work context.Context, m jobTold) error {
	switch {
	case m.job != t.job.info.ID: // of an earlier watch
	case !m.info.Runs() && t.job.info.State == "":
		t.watchJob(work, slurm.JobInfo{})
	case !m.info.Runs():
		t.job.info.ID, t.job.info.State = m.info.ID, m.info.State
		return cmp.Or(m.info.Ended(), errJobCompleted)
	default:
		t.job.info.State = m.info.State
		if !m.info.Ends.Equal(t.job.info.Ends) {
			t.job.info.Ends = m.info.Ends
			t.awaitLimit(t.limit)
		}
	}
	return nil
}

// doubtJob has the job watch check whether the job has ended, because the server was lost with err.
// It returns err if no job is watched.
func (t *tunnel) doubtJob(err error) error {
	if t.jobDoubts == nil {
		return err
	}
	if t.broken == nil {
		t.broken = err
		t.listener.SetTarget(nil)
		t.verdict = time.After(jobVerdict)
	}
	t.sendDoubt(slurm.NodeLost)
	return nil
}

// heedSilence reports that a host on the way does not answer, or answers again. The tunnel keeps
// its connection until that ends.
func (t *tunnel) heedSilence(work context.Context, m silence) {
	switch {
	case m.dial != t.login.dialled:
	case !t.isHop(m.hop):
		t.onNodeSilence(work, m)
	case m.silent:
		t.tellLost(m.hop, noAnswer)
	default:
		t.tellRestored()
	}
}

// sendDoubt has the job watch ask Slurm soon, if there is a watch. A new doubt replaces one that
// was not sent yet, unless that is NodeLost.
func (t *tunnel) sendDoubt(doubt slurm.Doubt) {
	if t.jobDoubts == nil {
		return
	}
	select {
	case earlier := <-t.jobDoubts:
		if earlier == slurm.NodeLost {
			doubt = earlier
		}
	default:
	}
	t.jobDoubts <- doubt // this is the only sender, so it does not block
}

// reachNode makes the last hop by ssh. If that is refused although a job of the user runs there, it
// uses a step of that job.
func (t *tunnel) reachNode(ctx context.Context) error {
	node, refusal := slurm.Find(ctx, t.login.chain, t.cfg.Job, t.cfg.Node)
	t.node.name, t.found = node.Name, node
	t.node.keys.lines = node.HostKeys
	var noSSHD *slurm.RemoteError
	switch {
	case refusal == nil:
		if node.Scanned {
			t.out.warn(fmt.Sprintf("the host key of %s is from a scan by the login node, which does not list it in its ssh_known_hosts", node.Name))
		}
		probe := func(ctx context.Context, node *chain.Chain) error {
			return probeForwarding(ctx, node, t.node.name, t.cfg.Port)
		}
		if refusal = t.extendChain(ctx, probe); refusal == nil || !turnedAway(refusal, false) {
			return refusal
		}
	case errors.As(refusal, &noSSHD) && noSSHD.Kind == "nonode":
	default:
		return refusal
	}
	t.job.info.ID = cmp.Or(node.LastToEnd().ID, t.cfg.Job) // for the step; "": any job of the user on the node
	t.node.byStep.taken, t.node.byStep.borrowed, t.node.byStep.refusal = true, true, refusal
	err := t.extendChain(ctx, acceptNode)
	var noJob *slurm.RemoteError
	switch {
	case err == nil:
		t.reportStepTransport()
		return nil
	case errors.As(err, &noJob) && noJob.Kind == "nojob":
		return refusal
	}
	return &NodeError{Node: t.node.name, SSH: refusal, Step: err}
}

// extendChain dials the node once, by ssh or through a job step.
func (t *tunnel) extendChain(ctx context.Context, probe func(context.Context, *chain.Chain) error) error {
	hop, err := t.nodeHop(t.login.chain)
	if err == nil {
		once := retryPolicy{again: func(error) bool { return false }}
		t.node.chain, err = dialAdmitted(ctx, t.login.chain, hop, once, probe)
	}
	return err
}

// handleListener handles a report of what listens on the node's port. It forwards only to a
// listener that is the user's own and, without AllowWideBind, within the node (invariants I4 and
// I5).
func (t *tunnel) handleListener(work context.Context, l slurm.Listener) error {
	switch {
	case l.Verdict == "foreign":
		return &NotYoursError{Node: t.node.name, Port: t.cfg.Port, Owner: l.Owner}
	case l.Verdict == "wide" && !t.cfg.AllowWideBind:
		return &NotYoursError{Node: t.node.name, Port: t.cfg.Port, Bound: l.Bound}
	case l.Verdict == "none" && !t.server.ready:
		return &NothingListensError{Node: t.node.name, Port: t.cfg.Port}
	case l.Verdict == "none":
		t.listener.SetTarget(forward.Target(nil))
		t.out.warn(fmt.Sprintf("nothing listens on port %d of %s now: new connections wait for it", t.cfg.Port, t.node.name))
		t.sendDoubt(slurm.ServerGone)
	default:
		if l.Verdict == "wide" {
			t.out.warn(fmt.Sprintf("the server listens on %s of %s, where others can reach it too", l.Bound, t.node.name))
		}
		t.server.listening = &slurm.Listening{Addr: l.Addr}
		t.attributeServer(work, l.Job)
		ready := Event{InJob: t.job.info.ID}
		if !t.job.info.Ends.IsZero() {
			ends, begins := t.job.info.Ends.UTC(), t.job.info.Begins.UTC()
			ready.Until, ready.Begins = &ends, &begins
		}
		t.forwardToServer(work, ready)
	}
	return nil
}
