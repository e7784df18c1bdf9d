package session

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

const (
	redialFirst = time.Second      // after which a lost chain is dialled again, if the first try fails
	redialMost  = 15 * time.Second // between two tries

	// overrun is by how much a job may outlive its lease: the runner's look, its
	// grace for the server and Slurm's own time to end a job.
	overrun = 90 * time.Second
)

// chainEnd is closed when the chain is lost; nil, which never is, while it is dialled.
func (s *session) chainEnd() <-chan struct{} {
	if !s.lost.IsZero() {
		return nil
	}
	return s.chain.Done()
}

// chainIsLost reports whether the chain has ended, be it that nobody was told yet.
func (s *session) chainIsLost() bool { return s.chain.Err() != nil }

// chainLost is called when the connection to the login node has ended. While the
// runner guards the job, nothing is lost with it: a new chain is dialled for as long
// as the lease lasts, from whatever network there is then, and new connections wait.
// Before that, the request or the job went with the connection.
func (s *session) chainLost(work context.Context) error {
	err := s.chain.Err()
	if s.step == "" {
		return err
	}
	s.lost = time.Now()
	s.node = nil
	s.listener.SetTarget(nil)
	host := s.cfg.Hops[0].Name
	var lost *chain.LostError
	if errors.As(err, &lost) {
		host = lost.Hop
	}
	s.out.event(Event{Event: EventLost, Host: host, Message: err.Error()})
	s.redial(work)
	return nil
}

func (s *session) redial(work context.Context) {
	ctx, cancel := context.WithCancel(work)
	s.stopRedial = cancel
	opts, hops, limit := s.cfg.Chain, s.cfg.Hops, time.Duration(0)
	opts.Observe = nil
	if s.cfg.Lease > 0 {
		limit = s.cfg.Lease + overrun
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = redialFirst, redialMost
	s.work.Go(func() {
		defer cancel()
		c, err := backoff.Retry(ctx, func() (*chain.Chain, error) {
			c, err := chain.Dial(ctx, hops, opts)
			var stranger *chain.HostKeyError
			if errors.As(err, &stranger) {
				return nil, backoff.Permanent(err)
			}
			return c, err
		}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(limit))
		if sendErr := s.send(work, redialled{c, err}); sendErr != nil && c != nil {
			_ = c.Close()
		}
	})
}

// resume takes the session up over a new chain.
func (s *session) resume(work context.Context, m redialled) error {
	if m.err != nil {
		return m.err
	}
	_ = s.chain.Close()
	s.chain, s.lost = m.chain, time.Time{}
	s.read(work, s.submission.Follow)
	s.dialNode(work)
	return nil
}

// submitDone takes in that the reading of events has ended.
func (s *session) submitDone(work context.Context, m submitDone) (done bool, err error) {
	switch {
	case m.err == nil:
		return true, m.outcome.Err()
	case s.chainIsLost() && s.step != "":
		return false, nil // with the chain; the next one reads on
	case errors.Is(m.err, slurm.ErrCut) && s.step != "":
		s.out.warn(m.err.Error() + ": starting it again")
		s.read(work, s.submission.Follow)
		return false, nil
	}
	s.submitErr = m.err
	return false, m.err
}
