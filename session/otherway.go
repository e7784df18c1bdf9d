package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/slurm"
)

// stepRetryPause lies between two tries of the other way, for a node that was reached by
// ssh before: each asks Slurm for a step (invariant I9).
const stepRetryPause = time.Minute

// An jobStepTransport is the way to the node where its sshd does not let us in though the job
// runs there: through a step of the job, which runs an sshd of the session's own
// (slurm.Entrance). What comes out of it is a hop like any other.
type jobStepTransport struct {
	taken    bool      // the node is dialled this way now
	proven   bool      // it has led there, and is kept for the rest of the session
	refusal  error     // of the node's own sshd
	failed   time.Time // when it last came to nothing, for a node that was reached by ssh
	away     bool      // the node answered on neither way
	borrowed bool      // the job is none of ours
	job      string    // of a guest: in which the step is asked for; "": any of the user's on the node

	host, user ssh.Signer // the step's sshd shows the one, and lets in the other
	hostKey    []byte     // of host, as a file of OpenSSH's
}

// ensureKeys makes the two key pairs, once for each session. The user's never leaves this
// process, the host's only for the session's directory.
func (o *jobStepTransport) ensureKeys() error {
	if o.user != nil {
		return nil
	}
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	_, userKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(hostKey, "")
	if err != nil {
		return err
	}
	if o.host, err = ssh.NewSignerFromKey(hostKey); err != nil {
		return err
	}
	o.hostKey = pem.EncodeToMemory(block)
	o.user, err = ssh.NewSignerFromKey(userKey)
	return err
}

// nodeHop is the hop from login to the node, this way or that. Its host key is, on
// either, one that cannot be another's (invariant I7).
func (s *session) nodeHop(login *share.Chain) (chain.Hop, error) {
	o := &s.stepTransport
	if !o.taken {
		keys, err := parseKeys(s.keys.lines)
		hop := s.cfg.NodeHop(s.nodeName, chain.PinnedKeys(keys...))
		if _, port, splitErr := net.SplitHostPort(hop.Addr); splitErr == nil && s.nodeAddr != "" {
			hop.Addr = net.JoinHostPort(s.nodeAddr, port)
		}
		if hop.Carrier == nil {
			hop.Carrier = s.takeHeadStart(login, hop.Addr)
		}
		return hop, err
	}
	if err := o.ensureKeys(); err != nil {
		return chain.Hop{}, err
	}
	// The user is the node's; all else is the step's own.
	only := chain.PinnedKeys(o.host.PublicKey())
	hop := s.cfg.NodeHop(s.nodeName, only)
	hop.Signer, hop.HostKeys, hop.HostKeyAlias = o.user, only, ""
	job := s.job.ID
	if o.borrowed {
		job = o.job
	}
	entrance := slurm.SSHDStep{
		ID: s.cfg.ID, Job: job, Node: s.nodeName, Guest: o.borrowed, HostKey: o.hostKey,
		UserKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(o.user.PublicKey()))),
	}
	hop.Carrier = func(ctx context.Context) (net.Conn, error) { return entrance.Open(ctx, login) }
	return hop, nil
}

// handleNodeUnreached takes in that the node was not reached. If it was its sshd that did not let us
// in, or could not be reached, the other way is tried: the runner has said that the job
// runs there. A host key that the runner has not found there is no reason for
// that; it ends the session.
func (s *session) handleNodeUnreached(work context.Context, keys nodeKeys, err error) error {
	o := &s.stepTransport
	switch {
	case !o.taken && s.awaitsKeys(work, keys, err):
		return nil
	case !o.taken && s.takeNextAddress(err):
	case !o.taken && turnedAway(err, s.ready):
		o.taken, o.refusal = true, err
	case o.taken && !o.proven && s.ready:
		// It was reached by ssh before, so that may come back.
		o.taken, o.failed = false, time.Now()
	case o.taken && !o.away && (s.isNodeAway(err) || isJobOver(err)):
		// It may be down, or about to boot. If it stays so, or if the job went with it, Slurm reports the end of the job.
		o.taken, o.away, s.nodeAddr = false, true, ""
	case o.taken:
		return &NodeError{Node: s.nodeName, SSH: o.refusal, Step: err}
	default:
		return err
	}
	s.dialNode(work)
	return nil
}

// isNodeAway reports whether the node has answered neither the login node, nor Slurm that was to make a
// step there (stepErr).
func (s *session) isNodeAway(stepErr error) bool {
	var step *slurm.StepError
	return isUnreached(s.stepTransport.refusal) && errors.As(stepErr, &step)
}

// isJobOver reports whether Slurm made no step since the job has ended: its node may have crashed, and be back already.
func isJobOver(stepErr error) bool {
	var step *slurm.StepError
	return errors.As(stepErr, &step) && step.JobIsOver()
}

// isUnreached reports whether err says that the node's host did not answer.
func isUnreached(err error) bool {
	var open *chain.OpenError
	return errors.As(err, &open) && !open.Prohibited() && !open.Refused()
}

// takeNextAddress has the node dialled by its next own address, if the login node did not find it by its name, or by
// another address: Slurm may know nodes by other names than the network does (slurm.conf(5), NodeAddr). The host key
// tells that it is the node.
func (s *session) takeNextAddress(err error) bool {
	var open *chain.OpenError
	if s.ready || len(s.nodeAddrs) == 0 || !errors.As(err, &open) || open.Prohibited() || open.Refused() {
		return false
	}
	s.nodeAddr, s.nodeAddrs = s.nodeAddrs[0], s.nodeAddrs[1:]
	return true
}

// turnedAway reports whether err is the node's refusal, or that of the login node to
// connect to it. A node that was reached before may be dead, and then nothing leads to it: of
// that one an answer is wanted.
func turnedAway(err error, reached bool) bool {
	var stranger *chain.HostKeyError
	var lost *chain.LostError
	var refused *chain.AuthError
	var late *chain.DialError
	var forbids *NoForwardingError
	switch {
	case errors.As(err, &stranger), errors.As(err, &lost):
		return false
	case errors.As(err, &refused), errors.As(err, &forbids), errors.Is(err, errNoHostKeys):
		return true
	case !errors.As(err, &late):
		return false
	case !reached:
		return true
	}
	var open *chain.OpenError
	if errors.As(err, &open) {
		return open.Prohibited() || open.Refused()
	}
	return late.Phase != chain.PhaseConnect && !late.Timeout()
}

// reportStepTransport says, once, that the node is reached the other way, and why.
func (s *session) reportStepTransport() {
	o := &s.stepTransport
	if !o.taken || o.proven {
		return
	}
	o.proven = true
	why := "no ssh to " + s.nodeName + " though the job runs there (" + s.cfg.Explain(o.refusal).Message + ")"
	var forbids *NoForwardingError
	if errors.As(o.refusal, &forbids) {
		why = "sshd on " + s.nodeName + " forwards no connections (" + forbids.Err.Reason + ")"
	}
	s.out.emitEvent(Event{Event: EventWarning, Step: true,
		Message: why + ": going through a job step with an sshd of its own instead, which is slower"})
}
