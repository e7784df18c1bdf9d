package session

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/slurm"
)

// tearDown takes everything down in the reverse order, from any state of the session. It returns
// the server's log as the laptop has it, and a *TeardownError if a job may be left.
func (s *session) tearDown(ctx context.Context) (*serverLog, error) {
	ctx, cancel := context.WithTimeout(ctx, teardownTimeout)
	defer cancel()
	ctx, release := mergeContexts(ctx, s.cfg.Abandon)
	defer release()
	log := &serverLog{dir: s.cfg.LogDir, id: s.cfg.ID, app: s.cfg.App.Name}
	var left error
	if s.request.submitted {
		left = s.stopJob(ctx, log)
	}
	log.close()
	s.close()
	return log, left
}

// close releases what this process has: goroutines, connections and local ports.
func (s *sessionCore) close() {
	s.stopWork() // this closes the local ports too
	if s.node.chain != nil {
		_ = s.node.chain.Close()
	}
	if s.login.chain != nil {
		s.closeChain(s.login.chain)
	}
	s.work.Wait()
}

// stopJob ends the job and confirms that it is gone.
func (s *session) stopJob(ctx context.Context, log *serverLog) error {
	grace, release := mergeContexts(ctx, s.cfg.Grace)
	defer release()
	if s.login.stopRedial != nil {
		s.login.stopRedial()
	}
	s.withdrawSubmission(grace)
	if s.neverAsked() {
		return nil // there never was a job
	}
	if !s.request.greeted && s.request.attached == nil {
		return s.endUnbegun(ctx, grace, log)
	}
	return s.endJob(ctx, grace, log)
}

// unbegunTimeout is longer than the time until a silence of the connection is noticed.
const unbegunTimeout = 20 * time.Second

// endUnbegun ends a session whose remote half has not reported its start. If our command that ends
// it does not start either, although the connection works, the login shell hangs. Then Slurm was
// asked for nothing. Nor will it be, since the remote half first checks whether it is still wanted.
func (s *session) endUnbegun(ctx, grace context.Context, log *serverLog) error {
	short, cancel := context.WithTimeout(ctx, unbegunTimeout)
	defer cancel()
	grace, release := mergeContexts(short, grace)
	defer release()
	err := s.endJob(short, grace, log)
	if err != nil && errors.Is(short.Err(), context.DeadlineExceeded) && ctx.Err() == nil && !s.login.lost && !s.chainIsLost() && !s.isUnresponsive() {
		return nil
	}
	return err
}

// endJob ends the job. The server has its grace period while the context grace lives.
func (s *sessionCore) endJob(ctx, grace context.Context, log *serverLog) error {
	stop := slurm.Stopping{ID: s.cfg.ID, Job: s.job.info.ID, Step: s.job.step, Grace: stopGrace, Log: log}
	err := s.stopOnce(grace, stop, log)
	if err != nil && grace.Err() != nil && ctx.Err() == nil {
		// The user interrupted again: no grace period.
		if s.job.step != "" {
			s.out.warn("interrupted again: the server gets no time to end")
		}
		stop.Step, stop.Grace, stop.Kill = "", 0, true
		log.restart()
		err = s.stopOnce(ctx, stop, log)
	}
	var unkept *slurm.LogError
	if errors.As(err, &unkept) {
		s.out.warn(unkept.Error())
		err = nil
	}
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = errors.New("its end took longer than " + formatDuration(teardownTimeout))
	case ctx.Err() != nil:
		err = errors.New("it was not waited for")
	}
	return s.teardownError(err)
}

// teardownError returns the error that the job may still be there, because of err.
func (s *sessionCore) teardownError(err error) *TeardownError {
	host := ""
	if n := len(s.cfg.Hops); n > 0 {
		host = s.cfg.Hops[n-1].Name
	}
	job := s.job.info.ID
	var remains *slurm.RemainsError
	if job == "" && errors.As(err, &remains) {
		job = remains.Job
	}
	left := &TeardownError{Job: job, Name: slurm.JobName(s.cfg.ID), Cluster: s.cfg.Cluster, Host: host, Err: err}
	if s.canOutliveChain() { // before, no process watches the lease
		left.Lease = s.cfg.Lease
	}
	return left
}

// dropLateChain closes the chain in a message that arrives too late to be used.
func dropLateChain(m any) {
	switch m := m.(type) {
	case nodeDialled:
		if m.chain != nil {
			_ = m.chain.Close()
		}
	case redialled:
		if m.chain != nil {
			_ = m.chain.Close()
		}
	}
}

// handOnTimeout is how long other clients of our chain may take to move to another one. After
// handOnSilence, a warning tells the user what the end waits for.
const (
	handOnTimeout = 20 * time.Second
	handOnSilence = time.Second
)

// closeChain closes a chain. Its other clients first dial a new one, whose sharing process is one
// of them. closeChain may emit a warning, so it must come before the session's last event.
func (s *sessionCore) closeChain(c *share.Chain) {
	ctx, cancel := context.WithTimeout(context.Background(), handOnTimeout)
	defer cancel()
	ctx, release := mergeContexts(ctx, s.cfg.Grace)
	defer release()
	silent, speak := context.WithTimeout(ctx, handOnSilence)
	defer speak()
	if c.Leave(silent) > 0 && ctx.Err() == nil {
		s.out.warn("another cscs uses this SSH connection: waiting until it has a connection of its own (at most " + handOnTimeout.String() + "; Ctrl-C: do not wait)")
		c.Leave(ctx)
	}
	_ = c.Close()
}

// neverAsked reports whether Slurm is known to have no job of this session: it refused the request,
// or the remote half ended before it could ask.
func (s *session) neverAsked() bool {
	var refused *slurm.RefusedError
	var remote *slurm.RemoteError
	return errors.As(s.request.readErr, &refused) && !refused.Unsure ||
		s.job.info.ID == "" && errors.As(s.request.readErr, &remote) && remote.BeforeRequest()
}

// stopOnce runs slurm.Stop over the chain. If the chain is lost or silent, it uses a new one.
func (s *sessionCore) stopOnce(ctx context.Context, stop slurm.Stopping, log *serverLog) error {
	if !s.login.lost && !s.isUnresponsive() {
		err := s.stopOver(ctx, stop)
		var remains *slurm.RemainsError
		var remote *slurm.RemoteError
		var unkept *slurm.LogError
		if err == nil || errors.As(err, &unkept) || errors.As(err, &remains) || errors.As(err, &remote) || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, slurm.ErrCut) && !s.chainIsLost() {
			s.out.warn(err.Error() + ": trying again")
		} else {
			s.tellLost(s.cfg.Hops[0].Name, "ending the session over a new connection")
		}
		log.restart()
	}
	for began := time.Now(); ; {
		c, err := s.dialToEnd(ctx)
		if err != nil {
			return err
		}
		_, err = slurm.Stop(ctx, c, stop)
		s.closeChain(c)
		var lost *chain.LostError
		if !errors.As(err, &lost) && !errors.Is(err, slurm.ErrCut) || ctx.Err() != nil || time.Since(began) > redialTimeout {
			return err
		}
		// This may have been the old chain again: a channel learns of a loss before the chain has
		// told its clients, and this process joins its own chain.
		log.restart()
		pause := time.NewTimer(redialFirst)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// dialToEnd dials a chain over which to end the job. A login node that went down may be back in
// time, and no other process may exist that could end a job without a runner. So it retries, except
// after errors that a retry cannot fix.
func (s *sessionCore) dialToEnd(ctx context.Context) (*share.Chain, error) {
	ctx, cancel := context.WithTimeout(ctx, redialTimeout)
	defer cancel()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = redialFirst, 3*redialFirst
	var last error
	c, err := backoff.Retry(ctx, func() (*share.Chain, error) {
		c, err := s.cfg.dialLogin(ctx, s.cfg.Chain)
		if err != nil && (last == nil || ctx.Err() == nil) {
			last = err
		}
		var away *chain.DialError
		var lost *chain.LostError
		if err != nil && !errors.As(err, &away) && !errors.As(err, &lost) {
			err = backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	if err != nil {
		return nil, last
	}
	return c, nil
}

// stopOver runs slurm.Stop over the current chain, until that falls silent.
func (s *sessionCore) stopOver(ctx context.Context, stop slurm.Stopping) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	done, over := make(chan error, 1), s.login.chain
	go func() {
		_, err := slurm.Stop(ctx, over, stop)
		done <- err
	}()
	for {
		select {
		case err := <-done:
			return err
		case m := <-s.messages:
			switch m := m.(type) {
			case silence:
				if m.silent && s.isOurs(m) {
					s.login.unresponsive[m.hop] = true
					giveUp()
				}
			default:
				dropLateChain(m)
			}
		}
	}
}

// withdrawSubmission asks the submission to end and waits for that. The salloc that made a pending
// request takes it back, and no request is made after the teardown has looked for one. Messages
// that arrive meanwhile only update what is known of the job.
func (s *session) withdrawSubmission(ctx context.Context) {
	s.request.submission.Withdraw()
	limit := withdrawTimeout
	if s.job.step != "" || !s.request.greeted {
		limit = hangUpTimeout
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case m := <-s.messages:
			switch m := m.(type) {
			case slurm.Hello:
				s.request.greeted = true
			case slurm.Pending, slurm.Granted, slurm.Requeued, slurm.Alive:
				s.job.recordEvent(m)
			case silence:
				if m.silent && s.isOurs(m) {
					s.login.unresponsive[m.hop] = true
				}
			case submitDone:
				s.request.readErr = m.err
			default:
				dropLateChain(m)
			}
		case <-s.request.readEnd:
			return
		case <-s.login.chain.Done():
			return
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// mergeContexts returns a context that also ends when other does. A nil context never ends.
func mergeContexts(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if other == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}
