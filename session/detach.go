package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// detachTimeout is how long the cluster may take to confirm the detach. Without it, the lease
// counts from the last heartbeat.
const detachTimeout = 15 * time.Second

// isDetachCause reports whether cause ends this process's part in the session, and not the session.
// A session that cannot go on alone yet ends with the process.
func (s *session) isDetachCause(ctx context.Context, cause error) bool {
	var idle *idleError
	switch {
	case !s.request.submitted, s.request.over, errors.Is(cause, ErrStopped):
		return false
	case s.cfg.Request.Via == slurm.ViaSalloc && !s.canOutliveChain():
		return false // the request depends on this connection
	case errors.As(cause, &idle):
		return s.usedByOthers(ctx)
	}
	return s.request.attached != nil || errors.Is(cause, ErrDetached)
}

// usedByOthers reports whether other clients attend the session whose use of the server is not
// known here. An app with LastUse knows of all use.
func (s *session) usedByOthers(ctx context.Context) bool {
	if s.cfg.App.LastUse != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, detachTimeout)
	defer cancel()
	found, _, err := slurm.List(ctx, s.login.chain)
	if err != nil {
		return false // keeping a forgotten node would be worse
	}
	for _, f := range found {
		if f.ID == s.cfg.ID {
			return slices.ContainsFunc(f.Clients, func(c string) bool { return c != s.cfg.Client })
		}
	}
	return false
}

// detachSession ends this process's part in the session. last: no other client remains for which an
// unused session would go on. In that case detachSession has released nothing.
func (s *session) detachSession(ctx context.Context, cause error) (last bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, detachTimeout)
	defer cancel()
	ctx, release := mergeContexts(ctx, s.cfg.Grace)
	defer release()
	if s.login.stopRedial != nil {
		s.login.stopRedial()
	}
	unsaid := s.tellLeft(ctx)
	var idle *idleError
	unused := errors.As(cause, &idle)
	// If two clients leave at the same time, each sees the other before it leaves, and the second
	// sees none after it.
	if unused && (unsaid != nil || !s.usedByOthers(ctx)) {
		return true, nil
	}
	s.close()
	reason := "detached: " + s.goesOn()
	switch {
	case errors.Is(cause, ErrDetached), errors.Is(cause, ErrInterrupted):
		cause = nil
	case unused: // other clients may use it
		cause, reason = nil, idle.Error()+" here, and others attend it; "+reason
	default:
		s.reportError(cause, &serverLog{})
	}
	if unsaid != nil && s.lacksRunner() {
		s.cfg.Lease = 0
		reason = "detached: job " + s.job.info.ID + " was granted, and its server had not been started: see what becomes of it with cscs ps --refresh, or end it with cscs stop " + s.cfg.ID
	}
	s.tellDetached()
	if unsaid != nil && !s.lacksRunner() {
		reason += "; the cluster was not told (" + unsaid.Error() + "), and counts from the last sign of this machine"
	}
	code := 0
	if cause != nil {
		code = s.cfg.Explain(cause).Code
	}
	s.out.emitEvent(Event{Event: EventEnded, Reason: reason, Code: &code})
	return false, cause
}

// lacksRunner reports whether the job was granted but no runner is known to have started. The
// runner counts the lease.
func (s *session) lacksRunner() bool { return len(s.job.info.Nodes) > 0 && s.job.step == "" }

// tellDetached reports that the session goes on without this process, and until when.
func (s *session) tellDetached() {
	e := Event{Event: EventDetached, Lease: int(s.cfg.Lease / time.Second), Kept: s.isQueued(), Bounded: s.isBounded()}
	if !s.job.info.Ends.IsZero() && !e.Kept {
		ends := s.job.info.Ends.UTC()
		e.Until = &ends
	}
	s.out.emitEvent(e)
}

// isBounded reports whether the job's time limit comes before the end of the lease.
func (s *session) isBounded() bool {
	if s.cfg.Lease == 0 {
		return true
	}
	if !s.isQueued() {
		return !s.job.info.Ends.IsZero() && time.Until(s.job.info.Ends) <= s.cfg.Lease
	}
	limit, ok := s.cfg.Request.TimeLimit()
	return ok && limit <= s.cfg.Lease
}

// isQueued reports whether the job is still in the queue.
func (s *session) isQueued() bool { return s.job.queued != "" && len(s.job.info.Nodes) == 0 }

// goesOn returns the words that say how long the job runs without this process.
func (s *session) goesOn() string {
	job := "job " + slurm.JobName(s.cfg.ID)
	if s.job.info.ID != "" {
		job = "job " + s.job.info.ID
	}
	if s.isQueued() {
		job += " waits in the queue, and then"
	}
	if s.isBounded() {
		return job + " runs until its time limit"
	}
	return job + " runs for the time of its lease"
}

// tellLeft tells the cluster about the detach, and waits for the confirmation.
func (s *session) tellLeft(ctx context.Context) error {
	s.request.submission.Detach()
	if s.login.lost || s.chainIsLost() {
		return errUnreached
	}
	for {
		select {
		case m := <-s.messages:
			switch m := m.(type) {
			case slurm.Pending, slurm.Granted, slurm.Requeued, slurm.Alive:
				s.job.recordEvent(m)
			case submitDone:
				if m.err != nil {
					return m.err
				}
				return nil
			default:
				dropLateChain(m)
			}
		case <-s.login.chain.Done():
			return errUnreached
		case <-ctx.Done():
			return errUnanswered
		}
	}
}

// Reasons why the cluster did not confirm.
var (
	errUnreached  = errors.New("it could not be reached")
	errUnanswered = errors.New("it did not answer in time")
)
