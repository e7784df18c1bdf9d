package session

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
)

// admission is how long a node may refuse the client before that counts. Its pam_slurm_adopt, or
// another check of the user there, may not know the job yet. The runner is there already, so this
// takes moments.
const admission = 5 * time.Second

// nodeAwayLimit is how long a node that was never reached is dialled if it answers on neither way.
// Slurm notices a dead node after SlurmdTimeout, five minutes by default (slurm.conf(5)).
const nodeAwayLimit = 6 * time.Minute

// dialNode makes the last hop while the server starts. It does so again if the connection to the
// node is lost but that to the login node is not. The node's host keys are those that the runner
// found there, so the client asks no question and trusts no unknown key (invariant I7).
func (s *session) dialNode(work context.Context) {
	login, hold := s.login.chain, s.nodeRetryPolicy()
	s.node.keys.refused = nil
	keys := s.node.keys
	hop, err := s.nodeHop(login)
	name, port := s.node.name, s.server.port
	probe := acceptNode
	if s.server.ready && !s.node.byStep.taken { // otherwise probeNode does it
		probe = func(ctx context.Context, node *chain.Chain) error { return probeForwarding(ctx, node, name, port) }
	}
	s.work.Go(func() {
		var c *chain.Chain
		if err == nil {
			c, err = dialAdmitted(work, login, hop, hold, probe)
		}
		if sendErr := s.sendMessage(work, nodeDialled{login, c, keys, err}); sendErr != nil && c != nil {
			_ = c.Close()
		}
	})
}

// probeNode finds out whether a node that is reached for the first time forwards connections.
// Meanwhile the shell that watches the server's port starts there.
func (s *session) probeNode(work context.Context, keys nodeKeys) {
	node, name, port, known := s.node.chain, s.node.name, s.server.port, s.server.ready || s.node.byStep.taken
	s.work.Go(func() {
		var err error
		if !known { // the session configures the sshd of a step
			err = probeForwarding(work, node, name, port)
		}
		_ = s.sendMessage(work, nodeProbed{node, keys, err})
	})
}

// watchNode reports the end of the connection to the node.
func (s *session) watchNode(work context.Context, c *chain.Chain) {
	s.work.Go(func() {
		select {
		case <-c.Done():
			_ = s.sendMessage(work, nodeLost{c, c.Err()})
		case <-work.Done():
		}
	})
}

// A retryPolicy is how the dial of a node is retried.
type retryPolicy struct {
	first, most time.Duration    // between two tries
	limit       time.Duration    // for all tries; 0: none
	again       func(error) bool // reports whether to retry after this error
}

// nodeRetryPolicy returns the policy of the next dial of the node. A node that was reached before
// is dialled until the session ends: if it is dead, Slurm reports that.
func (s *session) nodeRetryPolicy() retryPolicy {
	o := &s.node.byStep
	var stranger *chain.HostKeyError
	admission := admission
	if s.cfg.admission != 0 {
		admission = s.cfg.admission
	}
	p := retryPolicy{first: 500 * time.Millisecond, most: 2 * time.Second, limit: admission,
		again: func(err error) bool { return !errors.As(err, &stranger) }}
	switch {
	case o.away && !o.taken && !s.server.ready:
		p.first, p.most, p.limit = time.Second, 5*time.Second, nodeAwayLimit
		p.again = func(err error) bool { return isUnreached(err) || mayAdmit(err) }
	case s.server.ready && o.proven:
		p.first, p.most, p.limit = time.Second, stepRetryPause, 0
	case o.taken:
		// One try: Slurm and the file system, which the step needs, have worked for the runner.
		p.again = func(error) bool { return false }
	case s.server.ready:
		p.first, p.most, p.limit = 200*time.Millisecond, 30*time.Second, 0
		rest := max(admission, time.Until(o.failed.Add(stepRetryPause)))
		until := time.Now().Add(rest)
		p.again = func(err error) bool {
			return !errors.As(err, &stranger) && (!turnedAway(err, true) || time.Now().Before(until))
		}
	default:
		p.again = mayAdmit
	}
	return p
}

// mayAdmit reports whether a node that refused the client may accept it a moment later. Its sshd
// may get other information about the user, or may be about to start.
func mayAdmit(err error) bool {
	var refused *chain.AuthError
	var closed *chain.OpenError
	if errors.As(err, &closed) {
		return closed.Refused()
	}
	return errors.As(err, &refused)
}

// dialAdmitted dials the node until it accepts the login and probe returns no error.
func dialAdmitted(ctx context.Context, login *share.Chain, hop chain.Hop, hold retryPolicy, probe func(context.Context, *chain.Chain) error) (*chain.Chain, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = hold.first, hold.most
	return backoff.Retry(ctx, func() (*chain.Chain, error) {
		c, err := login.Extend(ctx, hop)
		if err == nil {
			if err = probe(ctx, c); err != nil {
				_ = c.Close()
				c = nil
			}
		}
		if err != nil && (login.Err() != nil || !hold.again(err)) {
			return nil, backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(hold.limit))
}

// acceptNode accepts every node without a probe.
func acceptNode(context.Context, *chain.Chain) error { return nil }

// probeForwarding returns a *NoForwardingError if the node's sshd opens no connections there. sshd
// decides that before it connects (serverloop.c, channels.c), and refuses with the reason
// "administratively prohibited" (RFC 4254, section 5.1). So the client asks for port 0, where
// nothing can listen: some servers take one connection only. If that is prohibited, sshd may permit
// certain ports, and the client asks for the server's port, if it is known. It ignores any other
// failure.
func probeForwarding(ctx context.Context, node *chain.Chain, name string, port int) error {
	var refused *chain.OpenError
	for _, p := range slices.Compact([]int{0, port}) {
		conn, err := node.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err == nil {
			_ = conn.Close()
			return nil
		}
		if !errors.As(err, &refused) || !refused.Prohibited() {
			return nil
		}
	}
	return &NoForwardingError{Node: name, Err: refused}
}

// forbidden is the message that the node refused to open a connection to the server.
type forbidden struct {
	node *chain.Chain
	err  *chain.OpenError
}

// handleForbidden handles a node that no longer forwards connections to the server. The session
// tries a job step, as after a lost connection, but at most once a minute.
func (s *session) handleForbidden(work context.Context, m forbidden) {
	o := &s.node.byStep
	if m.node != s.node.chain || o.taken || time.Since(o.failed) < stepRetryPause {
		return
	}
	o.taken, o.refusal = true, &NoForwardingError{Node: s.node.name, Err: m.err}
	left := s.node.chain
	s.leaveNode()
	s.work.Go(func() {
		if left.Conns() > 0 {
			<-left.Done() // its open connections continue
		}
		_ = left.Close()
	})
	s.dialNode(work)
}
