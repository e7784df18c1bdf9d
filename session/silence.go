package session

import (
	"context"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// onSilence is called when a hop has fallen silent, or is heard of again. Another chain is
// then dialled beside the silent one, and whichever answers first is kept: a stall
// that passes costs nothing, and one that does not is not waited for.
func (s *session) onSilence(work context.Context, m silence) {
	if m.dial != s.dialled || s.lost || s.chainIsLost() {
		return // of a chain that was left, or is lost anyway
	}
	if !s.isOurs(m) {
		s.onNodeSilence(work, m)
		return
	}
	if m.silent {
		s.unresponsive[m.hop] = true
		s.listener.SetTarget(nil) // who waits for it would wait in vain, and not be told
		s.tellLost(m.hop, noAnswer)
	} else if delete(s.unresponsive, m.hop); !s.isUnresponsive() {
		s.heardAgain = time.Now()
		s.resumeForwarding()
		s.tellRestored()
	}
	switch {
	case !s.canOutliveChain(): // the request or the job goes with this connection
	case s.isUnresponsive():
		s.redialChain(work)
	case s.stopRedial != nil:
		s.stopRedial()
		s.stopRedial = nil
	}
}

const noAnswer = "it does not answer"

// isUnresponsive reports whether the chain is, so that another is dialled beside it.
func (s *session) isUnresponsive() bool { return len(s.unresponsive) > 0 }

// isOurs reports whether it is a hop of the present chain to the login node that has
// fallen silent, and not the node, or a hop of a chain that was left.
func (s *session) isOurs(m silence) bool {
	return m.dial == s.dialled && s.isHop(m.hop)
}

// isHop reports whether that is the name of a hop to the login node.
func (s *session) isHop(name string) bool {
	return slices.ContainsFunc(s.cfg.Hops, func(h chain.Hop) bool { return h.Name == name })
}

// tellLost tells, once, that a hop to the login node is lost or does not answer.
func (s *session) tellLost(hop, message string) {
	if s.lostHop != "" {
		return
	}
	s.lostHop = hop
	if !s.idle.warned.IsZero() {
		s.useUnknown() // nobody can heed that warning now
	}
	s.out.emitEvent(Event{Event: EventLost, Host: hop, Message: message})
}

// tellRestored tells that the way is there again, if it was told to be lost: to the node, if the
// server is there. A restored connection is one that can be used.
func (s *session) tellRestored() {
	if s.lostHop == "" || s.step != "" && s.node == nil {
		return
	}
	s.out.emitEvent(Event{Event: EventRestored, Host: s.lostHop})
	s.lostHop = ""
}

// nodeUnresponsive is the message that the node has been silent for nodeSilenceDelay more, over that
// connection.
type nodeUnresponsive struct{ chain *chain.Chain }

// nodeSilenceDelay is how long the silence of the node waits to be told: if it is the way
// there that is silent, that is known by then, and is what is told.
const nodeSilenceDelay = 3 * time.Second

// onNodeSilence is hush for the node. It may be dead, of which Slurm hears later than we do;
// then nothing helps but to say so.
func (s *session) onNodeSilence(work context.Context, m silence) {
	if s.node == nil || m.hop != s.nodeName {
		return
	}
	if s.cancelNodeSilence != nil {
		s.cancelNodeSilence()
		s.cancelNodeSilence = nil
	}
	if !m.silent {
		s.resumeForwarding()
		s.tellNodeBack()
		return
	}
	ctx, cancel := context.WithCancel(work)
	s.cancelNodeSilence = cancel
	node := s.node
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

// resumeForwarding points the local port at the server again, when a silence has passed.
func (s *session) resumeForwarding() {
	if s.ready && s.node != nil && s.listening != nil {
		s.listener.SetTarget(s.newNodeDialer().newTarget(s.port, s.listening.Addr))
	}
}

// tellNodeLost tells, once, that the node is lost or does not answer.
func (s *session) tellNodeLost(message string) {
	if !s.nodeLost {
		s.nodeLost = true
		s.out.emitEvent(Event{Event: EventLost, Host: s.nodeName, Message: message})
	}
}

// tellNodeBack tells that the node is there again, if it was told to be lost.
func (s *session) tellNodeBack() {
	if s.nodeLost {
		s.nodeLost = false
		s.out.emitEvent(Event{Event: EventRestored, Host: s.nodeName})
	}
}
