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
	redialFirst = time.Second      // after which a lost chain is dialled again, if the first try fails
	redialMost  = 15 * time.Second // between two tries
	// redialRefused lies between two tries if the key was not taken.
	redialRefused = time.Minute
	// rekeyPause lies between two looks for a key that is good.
	rekeyPause = 2 * time.Second
	handOn     = 5 * time.Second // of a chain whose owner waits for us to leave it
	inUseLook  = time.Second     // between two looks whether a retired chain is in use

	// Overrun is by how much a job may outlive its lease: the runner's look, its
	// grace for the server and Slurm's own time to end a job.
	Overrun = 90 * time.Second
)

// chainEnd is closed when the chain is lost; nil, which never is, once that is known.
func (s *session) chainEnd() <-chan struct{} {
	if s.lost {
		return nil
	}
	return s.chain.Done()
}

// chainIsLost reports whether the chain has ended, be it that nobody was told yet.
func (s *session) chainIsLost() bool { return s.chain.Err() != nil }

// canOutliveChain reports whether the session stands without this connection: the job waits in
// Slurm alone, or has its runner. Else the request or the job goes with the connection.
func (s *session) canOutliveChain() bool { return s.kept || s.step != "" }

// chainLeaving is closed when the process that owns our chain is about to end; nil, which
// never is, once we are on our way to another, and as long as we cannot leave it.
func (s *session) chainLeaving() <-chan struct{} {
	if s.leaving || s.lost || !s.canOutliveChain() {
		return nil
	}
	return s.chain.Leaving()
}

// ownerLeaves is called when the process that owns our chain is about to end. It waits for
// us to move to another, which then is somebody else's, or our own.
func (s *session) ownerLeaves(work context.Context) {
	s.leaving = true
	s.redialChain(work)
}

// lostOnTheWay reports whether err is the loss of a hop to the login node. What is carried
// learns of it before the chain has made out which hop it was, and says so.
func (s *session) lostOnTheWay(err error) bool {
	var lost *chain.LostError
	return errors.As(err, &lost) && s.isHop(lost.Hop)
}

// chainLost is called when the connection to the login node has ended. If the session is
// guarded, nothing is lost with it: a new chain is dialled for as long
// as the lease lasts, from whatever network there is then, and new connections wait.
func (s *session) chainLost(work context.Context) error {
	err := s.chain.Err()
	if !s.canOutliveChain() {
		return err
	}
	s.lost = true
	s.leaveNode()
	host := s.cfg.Hops[0].Name
	var lost *chain.LostError
	if errors.As(err, &lost) {
		host = lost.Hop
	}
	s.tellLost(host, err.Error())
	s.redialChain(work)
	return nil
}

// nextChainOptions are those of the next chain, which tells the session of its silence.
func (s *session) nextChainOptions() chain.Options {
	opts := s.cfg.Chain
	opts.Observe = nil
	s.dials++
	dial := s.dials
	opts.Silence = func(hop string, silent bool) {
		s.postNotice(silence{dial, hop, silent})
	}
	// No third chain beside one that is left and still used: sites count logins.
	opts.Redials = func() bool { return s.mayRedial.Load() && s.retired.Load() == 0 }
	opts.RoundTrip = func(hop string, took time.Duration) {
		if !s.isHop(hop) {
			s.cfg.Metrics.recordRTT(dial, took) // the node, over all hops
		}
	}
	return opts
}

// postNotice tells the session something without waiting for it.
func (s *session) postNotice(m any) {
	select {
	case s.notices <- m:
	default: // the session has more of these than it can use
	}
}

// tellNotices brings what was noticed to the session.
func (s *session) tellNotices(work context.Context) {
	for {
		select {
		case m := <-s.notices:
			_ = s.sendMessage(work, m)
		case <-work.Done():
			return
		}
	}
}

// redialChain dials another chain, again and again. There is one redial at a time.
func (s *session) redialChain(work context.Context) {
	if s.stopRedial != nil {
		return
	}
	ctx, cancel := context.WithCancel(work)
	s.stopRedial = cancel
	opts, limit := s.nextChainOptions(), time.Duration(0)
	dial := s.dials
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
		// Time in which this process is stopped does not count: the network is often back a
		// moment after the machine wakes.
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
				// That costs nobody anything: a new certificate is seen soon.
				s.postNotice(keyRejected{err})
				return nil, errors.Join(err, backoff.RetryAfter(int(rekeyPause/time.Second)))
			case errors.As(err, &refused), errors.As(err, &unsigned):
				// A certificate that has expired meanwhile: no hurry, and the site counts.
				s.postNotice(keyRejected{err})
				return nil, errors.Join(err, backoff.RetryAfter(int(redialRefused/time.Second)))
			case isUnreachable(err) && time.Since(began) > redialFirst:
				return nil, errors.Join(err, backoff.RetryAfter(0)) // a pause would miss the network's return
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

// isUnanswered reports whether a dial came to nothing for lack of a network: what nobody has heard
// is a burden to nobody, and the network may be back at any moment.
func isUnanswered(err error) bool {
	var late *chain.DialError
	var refused *chain.OpenError
	return errors.As(err, &late) && !errors.As(err, &refused) &&
		(late.Timeout() || late.Phase == chain.PhaseConnect && !errors.Is(err, syscall.ECONNREFUSED))
}

// isUnreachable reports whether no TCP connection to a host came about.
func isUnreachable(err error) bool {
	var late *chain.DialError
	return isUnanswered(err) && errors.As(err, &late) && late.Phase == chain.PhaseConnect
}

// resumeSession takes the session up over a new chain.
func (s *session) resumeSession(work context.Context, m redialled) error {
	s.stopRedial = nil
	switch {
	case m.chain == nil && s.lost:
		return m.err
	case m.chain == nil: // the silent one has not ended yet; it will
		return nil
	case !s.lost && !s.isUnresponsive() && !s.leaving:
		return m.chain.Close() // the old one was heard of at the same moment
	}
	s.stopRead()
	s.chain.Retire()
	if s.leaving {
		s.retireChain(work, s.chain, nil, handOn)
	} else {
		s.retireChain(work, s.chain, s.node, 0)
	}
	s.listener.SetTarget(nil)
	s.holdDynamicPorts()
	s.chain, s.dialled, s.node, s.lost, s.leaving, s.keyRejectionTold = m.chain, m.dial, nil, false, false, false
	s.cfg.Metrics.resetRTT(s.dialled)
	clear(s.unresponsive)
	s.heardAgain = time.Now()
	s.tellRestored()
	s.readEvents(work, s.submission.Follow)
	if s.step != "" {
		s.dialNode(work)
	}
	return nil
}

// newsTime is how long the session waits for news of the job when the login node is reached
// again, before a limit of the job's beginning counts: the events of the outage are read,
// the node is dialled and the server probed.
const newsTime = 20 * time.Second

// awaitNews is how long to wait until it is known what became of the job; 0: it is known.
// While the connection is lost or silent, the job may have gone on without our knowledge.
func (s *session) awaitNews() time.Duration {
	switch {
	case s.lost, s.isUnresponsive(), s.chainIsLost():
		return time.Second
	case s.heardAgain.IsZero():
		return 0
	}
	return max(0, time.Until(s.heardAgain.Add(newsTime)))
}

// retireChain closes an old chain after a while. If it was only stalled, what it carries goes on as if
// nothing had been: as long as connections to the node are open over it, it stays, but not beside
// a third one that is used (sites count logins). One that remains silent ends by itself.
func (s *session) retireChain(work context.Context, old *share.Chain, node *chain.Chain, after time.Duration) {
	isUsed := func() bool { return old.Sharers() > 0 || node != nil && node.Conns() > 0 }
	if after == 0 && !isUsed() {
		s.work.Go(func() { _ = old.Close() })
		return
	}
	if s.stopRetired != nil {
		s.stopRetired()
	}
	only, third := context.WithCancel(work)
	s.stopRetired = third
	s.retired.Add(1)
	s.work.Go(func() {
		defer third()
		defer s.retired.Add(-1)
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
		look := time.NewTicker(inUseLook)
		defer look.Stop()
		for isUsed() {
			select {
			case <-look.C:
			case <-old.Done():
				return
			case <-only.Done():
				return
			}
		}
	})
}

// submitDone takes in that the reading of events has ended.
func (s *session) submitDone(work context.Context, m submitDone) (done bool, err error) {
	switch {
	case m.err == nil && m.outcome.Asked():
		s.over = true
		return false, ErrStopped // not by us: then nobody listens here any more
	case m.err == nil:
		s.over = true
		return true, m.outcome.Err()
	case s.canOutliveChain() && (s.chainIsLost() || s.lostOnTheWay(m.err)):
		return false, nil // with the chain; the next one reads on
	case s.canOutliveChain() && s.readAgain(work, m.err):
		return false, nil
	}
	s.submitErr = m.err
	return false, m.err
}

// readAgain has the events read again, after a pause, when their reading has failed
// though the chain is there and the session is guarded: somebody killed our command
// on the login node, or this one of the login nodes cannot do its work. False: enough
// was tried.
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
	case errors.As(err, &remote) && remote.Kind == "away" && s.node != nil:
		limit = math.MaxInt64 // this login node does not see the session; its server is reached all the same
	case errors.Is(err, slurm.ErrCut), errors.As(err, &remote), errors.As(err, &open), errors.As(err, &unsaid):
	default:
		return false
	}
	if s.cfg.redialLimit != 0 {
		limit = s.cfg.redialLimit
	}
	if !s.followed.IsZero() && time.Since(s.followed) > redialMost {
		s.unfollowed = 0 // it has worked meanwhile; as in runAgain
	}
	s.followed = time.Time{}
	if s.unfollowed == 0 {
		s.unread = 0
		s.out.warn(err.Error() + ": trying again")
	}
	if s.unread > limit { // in pauses: time in which this process is stopped is no attempt
		return false
	}
	pause := min(redialFirst<<min(s.unfollowed, 10), redialMost)
	s.unfollowed++
	s.unread += pause
	dial := s.dialled
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
