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

// stepRetryPause is the pause between two tries of a job step, for a node that ssh reached before.
// Each try asks Slurm for a step (invariant I9).
const stepRetryPause = time.Minute

// A jobStepTransport is the way to a node whose own sshd does not accept the client though the job
// runs there. A step of the job runs an sshd for the session (slurm.SSHDStep). The client uses that
// as a hop like any other.
type jobStepTransport struct {
	taken    bool      // the node is dialled through a step now
	proven   bool      // a step has reached the node, and the session keeps to it
	refusal  error     // why the node's own sshd was not used
	failed   time.Time // when a step last failed for a node that ssh reached before
	away     bool      // the node answered neither ssh nor Slurm, or its job had ended
	borrowed bool      // the job is not the session's

	host, user ssh.Signer // the step's sshd presents host and accepts user
	hostKey    []byte     // of host, in OpenSSH's file format
}

// ensureKeys makes the two key pairs, once per session. The user's private key never leaves this
// process. The host's private key only goes to the session's directory.
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

// nodeHop returns the hop from login to the node, by ssh or through a job step. Either way, its
// host key proves that it is the right host (invariant I7).
func (s *sessionCore) nodeHop(login *share.Chain) (chain.Hop, error) {
	o := &s.node.byStep
	if !o.taken {
		keys, err := parseKeys(s.node.keys.lines)
		hop := s.cfg.NodeHop(s.node.name, chain.PinnedKeys(keys...))
		if _, port, splitErr := net.SplitHostPort(hop.Addr); splitErr == nil && s.node.addr != "" {
			hop.Addr = net.JoinHostPort(s.node.addr, port)
		}
		if hop.Carrier == nil {
			hop.Carrier = s.takeHeadStart(login, hop.Addr)
		}
		return hop, err
	}
	if err := o.ensureKeys(); err != nil {
		return chain.Hop{}, err
	}
	// The user name is the same as on the node; everything else belongs to the step.
	only := chain.PinnedKeys(o.host.PublicKey())
	hop := s.cfg.NodeHop(s.node.name, only)
	hop.Signer, hop.HostKeys, hop.HostKeyAlias = o.user, only, ""
	entrance := slurm.SSHDStep{
		ID: s.cfg.ID, Job: s.job.info.ID, Node: s.node.name, Guest: o.borrowed, HostKey: o.hostKey,
		UserKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(o.user.PublicKey()))),
	}
	hop.Carrier = func(ctx context.Context) (net.Conn, error) { return entrance.Open(ctx, login) }
	return hop, nil
}

// handleNodeUnreached handles a failed dial of the node. If its sshd refused the client or could
// not be reached, the session tries a job step: the runner has reported that the job runs there. A
// host key that the runner did not report is no such reason: it ends the session.
func (s *session) handleNodeUnreached(work context.Context, keys nodeKeys, err error) error {
	o := &s.node.byStep
	switch {
	case !o.taken && s.awaitsKeys(work, keys, err):
		return nil
	case !o.taken && s.takeNextAddress(err):
	case !o.taken && turnedAway(err, s.server.ready):
		o.taken, o.refusal = true, err
	case o.taken && !o.proven && s.server.ready:
		// The node was reached by ssh before, so ssh may work again.
		o.taken, o.failed = false, time.Now()
	case o.taken && !o.away && (s.isNodeAway(err) || isJobOver(err)):
		// The node may be down, or about to boot. If it stays down, or the job ended with it, Slurm
		// reports the end of the job.
		o.taken, o.away, s.node.addr = false, true, ""
	case o.taken:
		return &NodeError{Node: s.node.name, SSH: o.refusal, Step: err}
	default:
		return err
	}
	s.dialNode(work)
	return nil
}

// isNodeAway reports whether the node answered neither the login node nor Slurm, which should have
// made a step there (stepErr).
func (s *session) isNodeAway(stepErr error) bool {
	var step *slurm.StepError
	return isUnreached(s.node.byStep.refusal) && errors.As(stepErr, &step)
}

// isJobOver reports whether Slurm made no step because the job has ended. Its node may have crashed
// and be back already.
func isJobOver(stepErr error) bool {
	var step *slurm.StepError
	return errors.As(stepErr, &step) && step.JobIsOver()
}

// isUnreached reports whether err says that the node's host did not answer.
func isUnreached(err error) bool {
	var open *chain.OpenError
	return errors.As(err, &open) && !open.Prohibited() && !open.Refused()
}

// takeNextAddress selects the next address that the runner reported, if the login node could not
// reach the node by its name or the address before. Slurm and the network may use different names
// of a node (slurm.conf(5), NodeAddr). The host key proves that it is the node.
func (s *session) takeNextAddress(err error) bool {
	var open *chain.OpenError
	if s.server.ready || len(s.node.addrs) == 0 || !errors.As(err, &open) || open.Prohibited() || open.Refused() {
		return false
	}
	s.node.addr, s.node.addrs = s.node.addrs[0], s.node.addrs[1:]
	return true
}

// turnedAway reports whether err is a refusal by the node, or by the login node to connect to it. A
// node that was reached before may be dead, and then no way leads to it. So for such a node only an
// answer counts, not a timeout.
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

// reportStepTransport warns, once, that the session uses a job step to reach the node, and why.
func (s *sessionCore) reportStepTransport() {
	o := &s.node.byStep
	if !o.taken || o.proven {
		return
	}
	o.proven = true
	why := "no ssh to " + s.node.name + " though the job runs there (" + s.cfg.Explain(o.refusal).Message + ")"
	var forbids *NoForwardingError
	if errors.As(o.refusal, &forbids) {
		why = "sshd on " + s.node.name + " forwards no connections (" + forbids.Err.Reason + ")"
	}
	s.out.emitEvent(Event{Event: EventWarning, Step: true,
		Message: why + ": going through a job step with an sshd of its own instead, which is slower"})
}
