package session

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/runclock"
	"github.com/alps-tunnel/cscs/slurm"
)

const (
	redialFirst = time.Second      // first pause between two dials of a lost chain
	redialMost  = 15 * time.Second // longest pause between two dials
	// redialRefused is the pause after a dial whose key was refused, or not signed with.
	redialRefused = time.Minute
	// rekeyPause is the pause between two searches for a valid key.
	rekeyPause = 2 * time.Second
	handOn     = 5 * time.Second // minimum time for which a chain is kept whose sharing process is ending
	inUseCheck = time.Second     // between two checks whether a retired chain is in use

	// Overrun is how much longer than its lease a job may run: the runner's interval of checks, its
	// grace period for the server, and Slurm's own time to end a job.
	Overrun = 90 * time.Second
)

// chainEnd returns the channel that is closed when the chain is lost, or nil once the loss is
// known.
func (s *session) chainEnd() <-chan struct{} {
	if s.login.lost {
		return nil
	}
	return s.login.chain.Done()
}

// chainIsLost reports whether the chain has ended, even if the session has not handled that yet.
func (s *sessionCore) chainIsLost() bool { return s.login.chain.Err() != nil }

// canOutliveChain reports whether the session survives the loss of its chain: the job waits in
// Slurm alone, or has its runner. Otherwise the request or the job ends with the connection.
func (s *sessionCore) canOutliveChain() bool { return s.job.kept || s.job.step != "" }

// chainLeaving returns the channel that is closed when the chain's sharing process is about to end.
// It returns nil while another chain is dialled already, and while the session cannot leave this
// one.
func (s *session) chainLeaving() <-chan struct{} {
	if s.login.leaving || s.login.lost || !s.canOutliveChain() {
		return nil
	}
	return s.login.chain.Leaving()
}

// handleChainLeaving dials another chain because the sharing process of this one is about to end.
// The sharing process waits until its clients have moved to a chain of another sharing process, or
// of their own.
func (s *session) handleChainLeaving(work context.Context) {
	s.login.leaving = true
	s.redialChain(work)
}

// lostOnTheWay reports whether err is the loss of a hop to the login node. A channel learns of the
// loss before the chain has found out which hop it was and has ended.
func (s *session) lostOnTheWay(err error) bool {
	var lost *chain.LostError
	return errors.As(err, &lost) && s.isHop(lost.Hop)
}

// chainLost handles the loss of the connection to the login node. If the session can outlive it,
// nothing else is lost: the session dials a new chain for as long as the lease lasts, from any
// network, and new connections wait.
func (s *session) chainLost(work context.Context) error {
	err := s.login.chain.Err()
	if !s.canOutliveChain() {
		return err
	}
	s.login.lost = true
	s.leaveNode()
	host := s.cfg.Hops[0].Name
	var lost *chain.LostError
	if errors.As(err, &lost) {
		host = lost.Hop
	}
	s.tellChainLost(host, err.Error())
	s.redialChain(work)
	return nil
}

// nextChainOptions returns the options of the next chain, which reports its silence to the session.
func (s *sessionCore) nextChainOptions() chain.Options {
	opts := s.cfg.Chain
	opts.Observe = nil
	s.login.dials++
	dial := s.login.dials
	opts.Silence = func(hop string, silent bool) {
		s.postNotice(silence{dial, hop, silent})
	}
	// No third chain beside one that was left and is still used: sites count logins.
	opts.Redials = func() bool { return s.login.mayRedial.Load() && s.login.retired.Load() == 0 }
	opts.RoundTrip = func(hop string, took time.Duration) {
		if !s.isHop(hop) {
			s.cfg.Metrics.recordRTT(dial, took) // of the node, over all hops
		}
	}
	return opts
}

// postNotice sends the session a message without waiting for it. It drops the message if too many
// are pending.
func (s *sessionCore) postNotice(m any) {
	select {
	case s.notices <- m:
	default: // the session has more notices than it can use
	}
}

// tellNotices passes notices on to the session as messages.
func (s *sessionCore) tellNotices(work context.Context) {
	for {
		select {
		case m := <-s.notices:
			_ = s.sendMessage(work, m)
		case <-work.Done():
			return
		}
	}
}

// redialChain dials another chain until it succeeds or the limit expires. There is one redial at a
// time.
func (s *session) redialChain(work context.Context) {
	if s.login.stopRedial != nil {
		return
	}
	ctx, cancel := context.WithCancel(work)
	s.login.stopRedial = cancel
	opts, limit := s.nextChainOptions(), time.Duration(0)
	dial := s.login.dials
	if s.cfg.Lease > 0 {
		limit = s.cfg.Lease + Overrun
	}
	if s.cfg.redialLimit != 0 {
		limit = s.cfg.redialLimit
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = redialFirst, redialMost
	s.work.Go(func() {
		defer cancel()
		// Time in which this process is stopped does not count: the network is often back a moment
		// after the machine wakes.
		var over atomic.Bool
		if limit > 0 {
			defer runclock.AfterFunc(limit, func() { over.Store(true) }).Stop()
		}
		c, err := backoff.Retry(ctx, func() (*share.Chain, error) {
			began := time.Now()
			c, err := s.cfg.dialLogin(ctx, opts)
			if err != nil && over.Load() {
				return nil, backoff.Permanent(err)
			}
			var stranger *chain.HostKeyError
			var refused *chain.AuthError
			var unsigned *chain.SignError
			var keyless *chain.KeyError
			switch {
			case errors.As(err, &stranger):
				return nil, backoff.Permanent(err)
			case errors.As(err, &keyless):
				// No host is contacted, so a new certificate can be searched for soon.
				s.postNotice(keyRejected{err})
				return nil, errors.Join(err, backoff.RetryAfter(int(rekeyPause/time.Second)))
			case errors.As(err, &refused), errors.As(err, &unsigned):
				// The certificate may have expired. Sites count logins, so the next try is a minute
				// later.
				s.postNotice(keyRejected{err})
				return nil, errors.Join(err, backoff.RetryAfter(int(redialRefused/time.Second)))
			case isUnreachable(err) && time.Since(began) > redialFirst:
				return nil, errors.Join(err, backoff.RetryAfter(0)) // a pause could miss the return of the network
			case isUnanswered(err):
				return nil, errors.Join(err, backoff.RetryAfter(int(redialFirst/time.Second)))
			}
			return c, err
		}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
		if ctx.Err() != nil || s.sendMessage(ctx, redialled{dial, c, err}) != nil {
			if c != nil {
				_ = c.Close()
			}
		}
	})
}

// isUnanswered reports whether a dial failed because no host answered. Such a dial costs no host
// anything, and the network may be back at any moment. So the next try comes soon.
func isUnanswered(err error) bool {
	var late *chain.DialError
	var refused *chain.OpenError
	return errors.As(err, &late) && !errors.As(err, &refused) &&
		(late.Timeout() || late.Phase == chain.PhaseConnect && !errors.Is(err, syscall.ECONNREFUSED))
}

// isUnreachable reports whether no TCP connection to a host could be made.
func isUnreachable(err error) bool {
	var late *chain.DialError
	return isUnanswered(err) && errors.As(err, &late) && late.Phase == chain.PhaseConnect
}

// resumeSession continues the session over a new chain.
func (s *session) resumeSession(work context.Context, m redialled) error {
	s.login.stopRedial = nil
	switch {
	case m.chain == nil && s.login.lost:
		return m.err
	case m.chain == nil: // the silent chain has not ended yet; its end will be handled
		return nil
	case !s.login.lost && !s.isUnresponsive() && !s.login.leaving:
		return m.chain.Close() // the old chain answered at the same moment
	}
	s.request.stopRead()
	s.login.chain.Retire()
	if s.login.leaving {
		s.retireChain(work, s.login.chain, nil, handOn)
	} else {
		s.retireChain(work, s.login.chain, s.node.chain, 0)
	}
	s.listener.SetTarget(nil)
	s.holdDynamicPorts()
	s.login.chain, s.login.dialled, s.node.chain, s.login.lost, s.login.leaving, s.login.keyRejectionTold = m.chain, m.dial, nil, false, false, false
	s.cfg.Metrics.resetRTT(s.login.dialled)
	clear(s.login.unresponsive)
	s.login.heardAgain = time.Now()
	s.tellRestored()
	s.readEvents(work, s.request.submission.Follow)
	if s.job.step != "" {
		s.dialNode(work)
	}
	return nil
}

// newsTime is how long the session waits for news of the job when it has reached the login node
// again, before a queue or start timeout counts. In that time it reads the events of the outage,
// dials the node and probes the server.
const newsTime = 20 * time.Second

// awaitNews returns how long to wait until the state of the job is known; 0: it is known. While the
// connection is lost or silent, the job may have made progress unnoticed.
func (s *session) awaitNews() time.Duration {
	switch {
	case s.login.lost, s.isUnresponsive(), s.chainIsLost():
		return time.Second
	case s.login.heardAgain.IsZero():
		return 0
	}
	return max(0, time.Until(s.login.heardAgain.Add(newsTime)))
}

// retireChain closes an old chain later. If the chain was only stalled, its connections continue
// unharmed. So it stays while it carries connections to the node, but not beside a third chain that
// is used, because sites count logins. A chain that stays silent ends by itself.
func (s *session) retireChain(work context.Context, old *share.Chain, node *chain.Chain, after time.Duration) {
	isUsed := func() bool { return old.Sharers() > 0 || node != nil && node.Conns() > 0 }
	if after == 0 && !isUsed() {
		s.work.Go(func() { _ = old.Close() })
		return
	}
	if s.login.stopRetired != nil {
		s.login.stopRetired()
	}
	only, third := context.WithCancel(work)
	s.login.stopRetired = third
	s.login.retired.Add(1)
	s.work.Go(func() {
		defer third()
		defer s.login.retired.Add(-1)
		defer old.Close()
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-old.Done():
			return
		case <-work.Done():
			return
		}
		check := time.NewTicker(inUseCheck)
		defer check.Stop()
		for isUsed() {
			select {
			case <-check.C:
			case <-old.Done():
				return
			case <-only.Done():
				return
			}
		}
	})
}

// submitDone handles the end of the reading of events.
func (s *session) submitDone(work context.Context, m submitDone) (done bool, err error) {
	switch {
	case m.err == nil && m.outcome.Asked():
		s.request.over = true
		return false, ErrStopped // asked by another client: after our own Stop, no messages are handled
	case m.err == nil:
		s.request.over = true
		return true, m.outcome.Err()
	case s.canOutliveChain() && (s.chainIsLost() || s.lostOnTheWay(m.err)):
		return false, nil // ended with the chain; the next chain continues the reading
	case s.canOutliveChain() && s.readAgain(work, m.err):
		return false, nil
	}
	s.request.readErr = m.err
	return false, m.err
}

// readAgain reads the events again after a pause, if the reading has failed although the chain
// works and the session can outlive it. Either someone killed our command on the login node, or
// this login node cannot do its work. It returns false if it has tried for long enough.
func (s *session) readAgain(work context.Context, err error) bool {
	limit := s.cfg.Lease + Overrun
	if s.cfg.Lease == 0 {
		limit = math.MaxInt64
	}
	var remote *slurm.RemoteError
	var open *chain.OpenError
	var unsaid *ssh.ExitMissingError
	switch {
	case errors.As(err, &remote) && remote.Kind == "gone":
		limit = Overrun
	case errors.As(err, &remote) && remote.Kind == "away" && s.node.chain != nil:
		limit = math.MaxInt64 // this login node does not see the session, but the server is still reachable
	case errors.Is(err, slurm.ErrCut), errors.As(err, &remote), errors.As(err, &open), errors.As(err, &unsaid):
	default:
		return false
	}
	if s.cfg.redialLimit != 0 {
		limit = s.cfg.redialLimit
	}
	if !s.request.readBegan.IsZero() && time.Since(s.request.readBegan) > redialMost {
		s.request.failedReads = 0 // the last reading has worked for a while; as in runAgain
	}
	s.request.readBegan = time.Time{}
	if s.request.failedReads == 0 {
		s.request.readPauses = 0
		s.out.warn(err.Error() + ": trying again")
	}
	if s.request.readPauses > limit { // counted in pauses: time in which this process is stopped does not count
		return false
	}
	pause := min(redialFirst<<min(s.request.failedReads, 10), redialMost)
	s.request.failedReads++
	s.request.readPauses += pause
	dial := s.login.dialled
	s.work.Go(func() {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = s.sendMessage(work, followAgain{dial})
		case <-work.Done():
		}
	})
	return true
}
