package session

import (
	"context"
	"errors"

	"github.com/alps-tunnel/cscs/slurm"
)

// Stop ends a session that no process of this laptop attends: it dials the login node,
// ends the job by its name, sees that it is gone, brings the log home and removes what the
// session has on the cluster. A session that has ended already is no error. If find is
// set, ID is looked for there, as Attach does, and must be of one that has at least left its log. One that cannot be reached is a
// *TeardownError: its job may be there. Of the configuration it needs ID, Cluster, Job, Hops, Chain, LogDir, App's name, Lease and Explain.
// Events and errors are as Run's; ctx with its cause is only for the way there, then
// Hurry and Abandon count.
func Stop(ctx context.Context, cfg Config, find bool, emit func(Event)) error {
	s := newSession(cfg, emit)
	s.messages = make(chan any)
	s.job.ID = cfg.Job
	if err := s.dialLogin(ctx); err != nil {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case !find: // there is a job, as far as anybody knows
			s.step = slurm.AnyStep
			err = s.teardownError(err)
		}
		return s.reportEnd(err, "", &serverLog{})
	}
	ended, log, err := s.stopSession(ctx, find)
	s.closeChain(s.chain)
	return s.reportEnd(err, ended, log)
}

// stopSession ends the session over its chain. It returns what to say at the end, and the log as the laptop has it.
func (s *session) stopSession(ctx context.Context, find bool) (ended string, log *serverLog, err error) {
	log = &serverLog{}
	ending, ended := "as asked", "stopped"
	if find {
		var before *EndedError
		if _, err := s.findSession(ctx); errors.As(err, &before) {
			// Its log is still there, and all that is done to one that lives does no harm.
			s.cfg.ID, s.out.id = before.ID, before.ID
			ending, ended = before.Error(), "ended before"
		} else if err != nil {
			return "", log, err
		}
	}
	s.out.emitEvent(Event{Event: EventEnding, Reason: ending})
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	s.work.Go(func() { s.tellNotices(work) })
	defer s.work.Wait()
	defer done()

	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTimeout)
	defer cancel()
	within, release := mergeContexts(within, s.cfg.Abandon)
	defer release()
	patient, calm := mergeContexts(within, s.cfg.Hurry)
	defer calm()
	log = &serverLog{dir: s.cfg.LogDir, id: s.cfg.ID, app: s.cfg.App.Name}
	s.step = slurm.AnyStep
	err = s.endJob(within, patient, log)
	log.close()
	return ended + ": nothing of session " + s.cfg.ID + " runs any more", log, err
}
