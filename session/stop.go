package session

import (
	"context"

	"github.com/alps-tunnel/cscs/slurm"
)

// Stop ends a session that no process of this laptop attends: it dials the login node,
// ends the job by its name, sees that it is gone, brings the log home and removes what the
// session has on the cluster. A session that has ended already is no error, unless find is
// set: ID is then looked for there, as Attach does. One that cannot be reached is a
// *TeardownError: its job may be there. Of the configuration it needs ID, Cluster, Hops, Chain, LogDir, App's name, Lease and Explain.
// Events and errors are as Run's; ctx with its cause is only for the way there, then
// Hurry and Abandon count.
func Stop(ctx context.Context, cfg Config, find bool, emit func(Event)) error {
	s := newSession(cfg, emit)
	s.messages = make(chan any)
	if err := s.dial(ctx); err != nil {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case !find: // there is a job, as far as anybody knows
			s.step = slurm.AnyStep
			err = s.remains(err)
		}
		return s.end(err, "", &serverLog{})
	}
	defer s.closeChain(s.chain)
	if find {
		if _, err := s.find(ctx); err != nil {
			return s.end(err, "", &serverLog{})
		}
		cfg = s.cfg
	}
	s.out.event(Event{Event: EventEnding, Reason: ErrStopped.Error()})
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	s.work.Go(func() { s.tellNotices(work) })
	defer s.work.Wait()
	defer done()

	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTimeout)
	defer cancel()
	ending, release := until(ending, cfg.Abandon)
	defer release()
	patient, calm := until(ending, cfg.Hurry)
	defer calm()
	log := &serverLog{dir: cfg.LogDir, id: cfg.ID, app: cfg.App.Name}
	s.step = slurm.AnyStep
	err := s.endJob(ending, patient, log)
	log.close()
	return s.end(err, "stopped: nothing of session "+cfg.ID+" runs any more", log)
}
