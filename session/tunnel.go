package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/slurm"
)

// TunnelConfig is what a tunnel to a server that already runs needs to know.
type TunnelConfig struct {
	ID, Cluster string

	Hops    []chain.Hop
	Chain   chain.Options
	Dial    func(context.Context, chain.Options) (*share.Chain, error) // as Config has it
	NodeHop func(node string, keys chain.HostKeys) chain.Hop

	Node string // or
	Job  string // the first node of which is meant
	Port int    // of the server, on the node

	LocalPort     int // 0: that of the server, or the next free one
	AllowWideBind bool
	Gauge         *Gauge // as Config has it
	Room          Room   // as Config has it
	Protect       *bool  // likewise
	Open          func(ctx context.Context, link string) error
	Explain       func(error) Explanation
}

// Tunnel forwards a local port to a server that already runs on a compute node,
// until ctx ends, the connection is lost, or the port turns out not to be the
// user's. It allocates and cancels nothing. Events and errors are as Run's.
func Tunnel(ctx context.Context, cfg TunnelConfig, emit func(Event)) error {
	t := &tunnel{session: session{mute: map[string]bool{},
		cfg: Config{ID: cfg.ID, Cluster: cfg.Cluster, Hops: cfg.Hops, Chain: cfg.Chain, Dial: cfg.Dial, NodeHop: cfg.NodeHop,
			LocalPort: cfg.LocalPort, Gauge: cfg.Gauge, Room: cfg.Room, Protect: cfg.Protect, Open: cfg.Open, Explain: cfg.Explain},
		out: emitter{id: cfg.ID, cluster: cfg.Cluster, emit: emit}, notices: make(chan any, 16),
	}, cfg: cfg}
	t.session.cfg.App.LocalPort = cfg.Port
	t.session.cfg.App.Path = "/"
	cause := t.live(ctx)
	if errors.Is(cause, context.Canceled) && ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	wasReady := t.ready
	log, _ := t.tearDown(context.WithoutCancel(ctx)) // a tunnel has no job
	if (errors.Is(cause, ErrInterrupted) || errors.Is(cause, ErrDetached)) && wasReady {
		cause = nil
	}
	return t.end(cause, "ended as asked", log)
}

type tunnel struct {
	session
	cfg TunnelConfig
}

func (t *tunnel) live(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stopWork = stop
	t.messages = make(chan any)
	if err := t.listen(work); err != nil {
		return err
	}
	if err := t.dial(ctx); err != nil {
		return err
	}
	if err := t.reach(ctx); err != nil {
		return err
	}

	t.port, t.watch = t.cfg.Port, slurm.NewWatch(t.cfg.Port, time.Second)
	t.portSeen.Store(int64(t.cfg.Port))
	t.work.Go(func() { t.tellNotices(work) })
	t.work.Go(func() {
		err := t.watch.Run(work, t.node, func(l slurm.Listener) error { return t.send(work, l) })
		_ = t.send(work, submitDone{err: err})
	})
	for {
		select {
		case m := <-t.messages:
			switch m := m.(type) {
			case slurm.Listener:
				if err := t.see(work, m); err != nil {
					return err
				}
			case unforwarded:
				t.refused(m.err)
			case localLost:
				return m.err
			case openDone:
				if m.err != nil {
					t.out.warn(t.cfg.Explain(m.err).Message)
				}
			case submitDone:
				if m.err != nil {
					return m.err
				}
				return &slurm.RemoteError{Kind: "protocol", Message: "the watch over the port on " + t.nodeName + " ended"}
			}
		case <-t.chain.Done():
			return t.chain.Err()
		case <-t.node.Done():
			return t.node.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reach makes the last hop: by ssh or, where that is refused though a job of the user's runs
// there, through a step of that job.
func (t *tunnel) reach(ctx context.Context) error {
	node, refusal := slurm.Find(ctx, t.chain, t.cfg.Job, t.cfg.Node)
	t.nodeName, t.keys = node.Name, nodeKeys{lines: node.HostKeys, scanned: true}
	var noSSHD *slurm.RemoteError
	switch {
	case refusal == nil:
		if node.Scanned {
			t.out.warn(fmt.Sprintf("the host key of %s is from a scan by the login node, which does not list it in its ssh_known_hosts", node.Name))
		}
		if refusal = t.extend(ctx); refusal == nil {
			refusal = t.checkNode(ctx)
		}
		if refusal == nil || !turnedAway(refusal, false) {
			return refusal
		}
	case errors.As(refusal, &noSSHD) && noSSHD.Kind == "nonode":
	default:
		return refusal
	}
	t.job.ID = t.cfg.Job
	t.other.taken, t.other.guest, t.other.refusal = true, true, refusal
	err := t.extend(ctx)
	var noJob *slurm.RemoteError
	switch {
	case err == nil:
		t.tellOtherWay()
		return nil
	case errors.As(err, &noJob) && noJob.Kind == "nojob":
		return refusal
	}
	return &NodeError{Node: t.nodeName, SSH: refusal, Step: err}
}

// extend dials the node, this way or the other.
func (t *tunnel) extend(ctx context.Context) error {
	hop, err := t.nodeHop(t.chain)
	if err != nil {
		return err
	}
	t.node, err = t.chain.Extend(ctx, hop)
	return err
}

// checkNode leaves the node again if its sshd forwards no connections.
func (t *tunnel) checkNode(ctx context.Context) error {
	err := checkForwarding(ctx, t.node, t.nodeName, t.cfg.Port)
	if err != nil {
		_ = t.node.Close()
		t.node = nil
	}
	return err
}

// see takes in what listens on the port of the node: forwarded is only what is the
// user's own and within the node (invariants I4 and I5).
func (t *tunnel) see(work context.Context, l slurm.Listener) error {
	switch {
	case l.Verdict == "foreign":
		return &NotYoursError{Node: t.nodeName, Port: t.cfg.Port, Owner: l.Owner}
	case l.Verdict == "wide" && !t.cfg.AllowWideBind:
		return &NotYoursError{Node: t.nodeName, Port: t.cfg.Port, Bound: l.Bound}
	case l.Verdict == "none" && !t.ready:
		return &NothingListensError{Node: t.nodeName, Port: t.cfg.Port}
	case l.Verdict == "none":
		t.listener.SetTarget(forward.Target(nil))
		t.out.warn(fmt.Sprintf("nothing listens on port %d of %s any more: new connections wait for it", t.cfg.Port, t.nodeName))
	default:
		if l.Verdict == "wide" {
			t.out.warn(fmt.Sprintf("the server listens on %s of %s, where others can reach it too", l.Bound, t.nodeName))
		}
		t.listening = &slurm.Listening{Addr: l.Addr}
		t.serve(work)
	}
	return nil
}
