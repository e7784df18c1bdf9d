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

// admission is for how long a node may refuse us before that is believed: its
// pam_slurm_adopt, or whatever it asks for who we are, may not have heard of the job
// yet. The runner is there already, so it is a matter of moments.
const admission = 5 * time.Second

// nodeAwayLimit is for how long a node that answers on neither way is dialled before it was reached once. Slurm
// notices a node that is down after SlurmdTimeout, five minutes by default (slurm.conf(5)).
const nodeAwayLimit = 6 * time.Minute

// dialNode makes the last hop: while the server starts, and again when the
// connection to the node was lost though that to the login node was not. The
// node's host keys are those that the runner found there: nothing is asked, nothing
// is trusted blindly (invariant I7).
func (s *session) dialNode(work context.Context) {
	login, hold := s.chain, s.nodeRetryPolicy()
	s.keys.refused = nil
	keys := s.keys
	hop, err := s.nodeHop(login)
	name, port := s.nodeName, s.port
	check := acceptNode
	if s.ready && !s.stepTransport.taken { // before, checkNode does it
		check = func(ctx context.Context, node *chain.Chain) error { return checkForwarding(ctx, node, name, port) }
	}
	s.work.Go(func() {
		var c *chain.Chain
		if err == nil {
			c, err = dialAdmitted(work, login, hop, hold, check)
		}
		if sendErr := s.sendMessage(work, nodeDialled{login, c, keys, err}); sendErr != nil && c != nil {
			_ = c.Close()
		}
	})
}

// checkNode has it found out whether a node that is reached for the first time forwards connections, while the shell
// that watches the server's port starts there.
func (s *session) checkNode(work context.Context, keys nodeKeys) {
	node, name, port, checked := s.node, s.nodeName, s.port, s.ready || s.stepTransport.taken
	s.work.Go(func() {
		var err error
		if !checked { // the sshd of a step is configured by us
			err = checkForwarding(work, node, name, port)
		}
		_ = s.sendMessage(work, nodeChecked{node, keys, err})
	})
}

// watchNode tells of the end of the connection to the node.
func (s *session) watchNode(work context.Context, c *chain.Chain) {
	s.work.Go(func() {
		select {
		case <-c.Done():
			_ = s.sendMessage(work, nodeLost{c, c.Err()})
		case <-work.Done():
		}
	})
}

// A retryPolicy is how a node is dialled again that was not reached.
type retryPolicy struct {
	first, most time.Duration    // pauses between two tries
	limit       time.Duration    // for all of them; 0: none
	again       func(error) bool // whether the error is one after which it is tried again
}

// nodeRetryPolicy is that for the next dial of the node. A node that was reached before is
// dialled for as long as the session lives: if it is dead, Slurm will say so.
func (s *session) nodeRetryPolicy() retryPolicy {
	o := &s.stepTransport
	var stranger *chain.HostKeyError
	admission := admission
	if s.cfg.admission != 0 {
		admission = s.cfg.admission
	}
	p := retryPolicy{first: 500 * time.Millisecond, most: 2 * time.Second, limit: admission,
		again: func(err error) bool { return !errors.As(err, &stranger) }}
	switch {
	case o.away && !o.taken && !s.ready:
		p.first, p.most, p.limit = time.Second, 5*time.Second, nodeAwayLimit
		p.again = func(err error) bool { return isUnreached(err) || mayAdmit(err) }
	case s.ready && o.proven:
		p.first, p.most, p.limit = time.Second, stepRetryPause, 0
	case o.taken:
		// Once: what it needs, Slurm and the file system, was there for the runner.
		p.again = func(error) bool { return false }
	case s.ready:
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

// mayAdmit reports whether a node that has turned us away may let us in a moment later:
// what its sshd says of a user may change, and it may be about to start.
func mayAdmit(err error) bool {
	var refused *chain.AuthError
	var closed *chain.OpenError
	if errors.As(err, &closed) {
		return closed.Refused()
	}
	return errors.As(err, &refused)
}

// dialAdmitted dials the node until it lets us in and check has nothing against it.
func dialAdmitted(ctx context.Context, login *share.Chain, hop chain.Hop, hold retryPolicy, check func(context.Context, *chain.Chain) error) (*chain.Chain, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = hold.first, hold.most
	return backoff.Retry(ctx, func() (*chain.Chain, error) {
		c, err := login.Extend(ctx, hop)
		if err == nil {
			if err = check(ctx, c); err != nil {
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

// acceptNode has nothing against a node.
func acceptNode(context.Context, *chain.Chain) error { return nil }

// checkForwarding returns a *NoForwardingError if the node's sshd opens no connections there.
// sshd decides that before it connects (serverloop.c, channels.c), with the reason
// "administratively prohibited" (RFC 4254, section 5.1). So the question is about port 0, where
// nothing can listen: some servers take one connection only. The server's port, if it is known, is
// asked for when sshd permits certain ports only. Any other failure is left to who uses
// the connection.
func checkForwarding(ctx context.Context, node *chain.Chain, name string, port int) error {
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

// forbidden is the message that the node has refused to open a connection to the server.
type forbidden struct {
	node *chain.Chain
	err  *chain.OpenError
}

// handleForbidden takes in that the node forwards no connections to the server any more. The other
// way is tried as after a lost connection, but a step is asked for once a minute at most.
func (s *session) handleForbidden(work context.Context, m forbidden) {
	o := &s.stepTransport
	if m.node != s.node || o.taken || time.Since(o.failed) < stepRetryPause {
		return
	}
	o.taken, o.refusal = true, &NoForwardingError{Node: s.nodeName, Err: m.err}
	left := s.node
	s.leaveNode()
	s.work.Go(func() {
		if left.Conns() > 0 {
			<-left.Done() // what is open over it stays open
		}
		_ = left.Close()
	})
	s.dialNode(work)
}
