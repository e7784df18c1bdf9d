package session

import (
	"context"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// onSilence handles the silence of a hop, or the end of that silence. The session then dials
// another chain beside the silent one and keeps the one that answers first. So a short stall costs
// nothing, and the session does not wait for a long one.
func (s *session) onSilence(work context.Context, m silence) {
	if m.dial != s.login.dialled || s.login.lost || s.chainIsLost() {
		return // of a chain that was left, or that is lost anyway
	}
	if !s.isOurs(m) {
		s.onNodeSilence(work, m)
		return
	}
	if m.silent {
		s.login.unresponsive[m.hop] = true
		s.listener.SetTarget(nil) // a connection that waits for a silent target would wait without a page or an error
		s.tellChainLost(m.hop, noAnswer)
	} else if delete(s.login.unresponsive, m.hop); !s.isUnresponsive() {
		s.login.heardAgain = time.Now()
		s.resumeForwarding()
		s.tellRestored()
	}
	switch {
	case !s.canOutliveChain(): // the request or the job ends with this connection
	case s.isUnresponsive():
		s.redialChain(work)
	case s.login.stopRedial != nil:
		s.login.stopRedial()
		s.login.stopRedial = nil
	}
}

const noAnswer = "it does not answer"

// isUnresponsive reports whether a hop of the chain is silent, so that another chain is dialled.
func (s *sessionCore) isUnresponsive() bool { return len(s.login.unresponsive) > 0 }

// isOurs reports whether the silent hop is one of the current chain to the login node, and neither
// the node nor a hop of a chain that was left.
func (s *sessionCore) isOurs(m silence) bool {
	return m.dial == s.login.dialled && s.isHop(m.hop)
}

// isHop reports whether name is that of a hop to the login node.
func (s *sessionCore) isHop(name string) bool {
	return slices.ContainsFunc(s.cfg.Hops, func(h chain.Hop) bool { return h.Name == name })
}

// tellChainLost is tellLost. It also withdraws an idle warning, because the user cannot react to it
// now.
func (s *session) tellChainLost(hop, message string) {
	if s.login.lostHop == "" && !s.idle.warned.IsZero() {
		s.useUnknown()
	}
	s.tellLost(hop, message)
}

// tellLost reports, once, that a hop to the login node is lost or does not answer.
func (s *sessionCore) tellLost(hop, message string) {
	if s.login.lostHop != "" {
		return
	}
	s.login.lostHop = hop
	s.out.emitEvent(Event{Event: EventLost, Host: hop, Message: message})
}

// tellRestored reports that the connection is back, if its loss was reported. If the job runs, the
// node must be reached too: a restored connection is one that can be used.
func (s *sessionCore) tellRestored() {
	if s.login.lostHop == "" || s.job.step != "" && s.node.chain == nil {
		return
	}
	s.out.emitEvent(Event{Event: EventRestored, Host: s.login.lostHop})
	s.login.lostHop = ""
}

// nodeUnresponsive is the message that the node was silent for nodeSilenceDelay more, over that
// connection.
type nodeUnresponsive struct{ chain *chain.Chain }

// nodeSilenceDelay is the delay of the report that the node is silent. If a hop on the way is the
// silent one, the session knows that by then and reports that hop.
const nodeSilenceDelay = 3 * time.Second

// onNodeSilence is onSilence for the node. The node may be dead, and Slurm notices that later than
// this client. The session can only report it.
func (s *sessionCore) onNodeSilence(work context.Context, m silence) {
	if s.node.chain == nil || m.hop != s.node.name {
		return
	}
	if s.node.cancelSilence != nil {
		s.node.cancelSilence()
		s.node.cancelSilence = nil
	}
	if !m.silent {
		s.resumeForwarding()
		s.tellNodeBack()
		return
	}
	ctx, cancel := context.WithCancel(work)
	s.node.cancelSilence = cancel
	node := s.node.chain
	s.work.Go(func() {
		timer := time.NewTimer(nodeSilenceDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = s.sendMessage(ctx, nodeUnresponsive{node})
		case <-ctx.Done():
		}
	})
}

// resumeForwarding sets the local port's target again after a silence.
func (s *sessionCore) resumeForwarding() {
	if s.server.ready && s.node.chain != nil && s.server.listening != nil {
		s.listener.SetTarget(s.newNodeDialer().newTarget(s.server.port, s.server.listening.Addr))
	}
}

// tellNodeLost reports, once, that the node is lost or does not answer.
func (s *sessionCore) tellNodeLost(message string) {
	if !s.node.lost {
		s.node.lost = true
		s.out.emitEvent(Event{Event: EventLost, Host: s.node.name, Message: message})
	}
}

// tellNodeBack reports that the node is back, if its loss was reported.
func (s *sessionCore) tellNodeBack() {
	if s.node.lost {
		s.node.lost = false
		s.out.emitEvent(Event{Event: EventRestored, Host: s.node.name})
	}
}
