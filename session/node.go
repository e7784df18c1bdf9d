package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/runclock"
	"github.com/alps-tunnel/cscs/slurm"
)

// watchPort watches the server's port over the connection to its node, as soon as both are known.
// No connection reaches the server before that.
func (s *session) watchPort(work context.Context) {
	if s.node.chain == nil || s.server.port == 0 {
		return
	}
	if s.server.stopMonitor != nil {
		s.server.stopMonitor()
	}
	ctx, stop := context.WithCancel(work)
	s.server.stopMonitor = stop
	// The results need no handling: the runner reports changes of the port.
	monitor, node, name := slurm.NewPortMonitor(s.server.port, monitorInterval), s.node.chain, s.node.name
	monitor.Session, monitor.Job, monitor.Runner, monitor.Lease = s.cfg.ID, s.job.info.ID, s.job.runner, s.cfg.Lease
	monitor.Unrenewed = func() { s.postNotice(unrenewed{}) }
	s.server.monitor = monitor
	warn := sync.OnceFunc(func() {
		_ = s.sendMessage(ctx, slurm.Note{Message: "cannot check the owner of the port on " + name + ": new connections wait until that works"})
	})
	s.work.Go(func() {
		runAgain(ctx, 200*time.Millisecond, 10*time.Second, func() error {
			err := monitor.Run(ctx, node, func(slurm.Listener) error { return nil })
			switch {
			case node.Err() != nil:
				return backoff.Permanent(node.Err())
			case ctx.Err() != nil:
				return backoff.Permanent(ctx.Err())
			case err == nil:
				err = slurm.ErrCut
			}
			warn()
			return err
		})
	})
}

// runAgain calls run again after each error that is not permanent. The pauses grow from first to
// most, and start again at first after a run that was longer than most. A host may end a silent
// command (sshd_config(5), ChannelTimeout), or all commands of the user from time to time.
func runAgain(ctx context.Context, first, most time.Duration, run func() error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = first, most
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		began := time.Now()
		err := run()
		if time.Since(began) > most {
			wait.Reset()
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
}

// unrenewed is the message that the lease cannot be renewed on the node: the runner is not there.
type unrenewed struct{}

// A nodeDialer dials the ports of the node over one connection to it.
type nodeDialer struct {
	node        *chain.Chain
	name        string
	portMonitor *slurm.PortMonitor
	metrics     *Metrics
	dial        int // of the chain to the login node

	onForbidden func(*chain.OpenError) // called when the node refuses to open a connection
}

func (s *sessionCore) newNodeDialer() nodeDialer {
	node := s.node.chain
	return nodeDialer{node, s.node.name, s.server.monitor, s.cfg.Metrics, s.login.dialled, func(err *chain.OpenError) {
		s.postNotice(forbidden{node, err})
	}}
}

// newTarget returns a target that opens connections to addr, as the node sees it. It returns a
// connection only after a probe has shown that the listener on its port is still the user's
// (invariant I5). A server may have closed its port, and another user's process may have taken it.
//
// The probe is requested together with the connection, so it costs no round trip. It still comes
// after the connection: both requests travel in one SSH connection. sshd connects when it reads the
// first, and only wakes a shell for the second.
func (g nodeDialer) newTarget(port int, addr string) forward.Target {
	return func(ctx context.Context) (net.Conn, error) {
		var conn net.Conn
		var err error
		probing, stop := runclock.WithTimeoutCause(ctx, portProbeTimeout, errUnseen)
		defer stop()
		dialled := make(chan struct{})
		var dialling conc.WaitGroup
		dialling.Go(func() {
			asked := time.Now()
			conn, err = g.node.DialContext(ctx, "tcp", addr)
			close(dialled)
			if err != nil {
				stop()
				return
			}
			g.metrics.recordRTT(g.dial, time.Since(asked))
			select {
			case <-g.node.Done():
				stop() // the probe will not be answered
			case <-probing.Done():
			}
		})
		seen, unseen := g.portMonitor.Probe(probing, port)
		select {
		case <-dialled:
		default:
			// The probe came before the connection, so it proves nothing about it.
			<-dialled
			seen, unseen = g.portMonitor.Probe(probing, port)
		}
		stop()
		dialling.Wait()
		var refused *chain.OpenError
		if errors.As(err, &refused) && refused.Prohibited() {
			g.onForbidden(refused)
		}
		switch {
		case err != nil:
			return nil, err
		case unseen != nil:
			err = unseen
		case seen.Verdict == "foreign":
			err = &NotYoursError{Node: g.name, Port: port, Owner: seen.Owner}
		case !seen.Ours() || seen.Addr != addr:
			// The server has closed its socket, or moved. The runner will report that.
			err = &NothingListensError{Node: g.name, Port: port}
		default:
			return conn, nil
		}
		_ = conn.Close()
		return nil, err
	}
}

// awaitServer waits until a probe sees the server listen, or ctx ends. The job may have ended
// unnoticed, and a browser that is sent to its port would get an error. If the port cannot be
// probed, awaitServer returns at once, since newTarget probes each connection again.
func (g nodeDialer) awaitServer(ctx context.Context, port int, addr string) {
	for {
		probing, stop := runclock.WithTimeoutCause(ctx, portProbeTimeout, errUnseen)
		seen, err := g.portMonitor.Probe(probing, port)
		stop()
		if err != nil || seen.Verdict == "foreign" || seen.Ours() && seen.Addr == addr {
			return
		}
		again := time.NewTimer(awaitInterval)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// awaitInterval is the pause between two probes for a server that was there before.
const awaitInterval = time.Second

// monitorInterval is how often the shell on the node probes the port by itself, and checks whether
// its session is still there.
const monitorInterval = time.Minute

// portProbeTimeout is the timeout of a probe that accompanies a connection.
const portProbeTimeout = 20 * time.Second

var errUnseen = errors.New("our command on the node does not answer")

// leaveNode withdraws the targets of the local ports because the connection to the node is lost.
func (s *session) leaveNode() {
	s.node.chain = nil
	s.cfg.Metrics.resetRTT(s.login.dialled)
	s.listener.SetTarget(nil)
	s.holdDynamicPorts()
	s.stopProbe()
}

func (s *session) stopProbe() {
	if s.server.stopProbe != nil {
		s.server.stopProbe()
		s.server.stopProbe = nil
	}
}

// probeServer probes the server through the tunnel, with the app's own check.
func (s *session) probeServer(ctx context.Context, dial forward.Target) error {
	if s.cfg.App.Probe == nil {
		return nil
	}
	client, base, closeIdle := s.tunnelClient(dial)
	defer closeIdle()
	return s.cfg.App.Probe(ctx, client, base)
}

// tunnelClient returns a client that reaches the server through the tunnel, but not through the
// local port, and the base URL for it.
func (s *session) tunnelClient(dial forward.Target) (client *http.Client, base string, closeIdle func()) {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	// The server gets the same Host as from a browser.
	base = fmt.Sprintf("http://127.0.0.1:%d", s.listener.Port())
	if s.cfg.isProtected() {
		base = fmt.Sprintf("http://localhost:%d", s.server.portSeen.Load())
	}
	return client, base, transport.CloseIdleConnections
}

// handleNodeDialled takes over a connection to the node, or reacts to its failure.
func (s *session) handleNodeDialled(work context.Context, m nodeDialled) error {
	if s.chainIsLost() || m.login != s.login.chain {
		if m.chain != nil {
			_ = m.chain.Close()
		}
		return nil // its chain was replaced; the next chain dials the node again
	}
	var late *chain.DialError
	if m.err != nil && s.isUnresponsive() && errors.As(m.err, &late) {
		s.dialNode(work) // the network to the login node stalls
		return nil
	}
	if s.lostOnTheWay(m.err) {
		return nil // the chain ends within a moment; the next one dials the node again
	}
	if m.err != nil {
		return s.handleNodeUnreached(work, m.keys, m.err)
	}
	s.node.chain, s.node.forwards = m.chain, false
	s.stopProbe()
	s.watchNode(work, m.chain)
	s.watchPort(work)
	s.probeNode(work, m.keys)
	return nil
}

// handleNodeProbed goes on once it is known whether the node forwards connections.
func (s *session) handleNodeProbed(work context.Context, m nodeProbed) error {
	if m.chain != s.node.chain {
		return nil // the session has left this connection meanwhile
	}
	if m.err != nil {
		s.leaveNode()
		_ = m.chain.Close()
		return s.handleNodeUnreached(work, m.keys, m.err)
	}
	s.node.forwards = true
	s.reportStepTransport()
	s.resumeDynamicPorts(work)
	s.tellRestored()
	s.tellNodeBack()
	s.connectServer(work)
	return nil
}
