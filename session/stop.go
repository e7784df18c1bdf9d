package session

import (
	"context"
	"errors"

	"github.com/alps-tunnel/cscs/slurm"
)

// Stop ends a session that no process of this laptop attends. It dials the login node, ends the job
// by its name, confirms that it is gone, fetches the log and removes the session's files on the
// cluster. A session that has already ended is no error.
//
// If find is set, Stop searches the cluster for ID, as Attach does; the session must at least have
// left its log. Otherwise, a session that cannot be reached is a *TeardownError, since its job may
// be there. The configuration needs ID, Cluster, Job, Hops, Chain, LogDir, Lease, Explain and the
// App's name.
//
// Events and errors are those of Run. ctx and its cause count only until the login node is reached,
// then Grace and Abandon count.
func Stop(ctx context.Context, cfg Config, find bool, emit func(Event)) error {
	s := newSessionCore(cfg, emit)
	s.job.info.ID, s.job.step = cfg.Job, slurm.AnyStep // the runner's events name its step
	if err := s.dialLogin(ctx); err != nil {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case !find: // a job may exist, as far as is known
			err = s.teardownError(err)
		}
		return s.reportEnd(err, "", &serverLog{})
	}
	ended, log, err := s.stopSession(ctx, find)
	s.closeChain(s.login.chain)
	return s.reportEnd(err, ended, log)
}

// stopSession ends the session over its chain. It returns what to report at the end, and the log.
func (s *sessionCore) stopSession(ctx context.Context, find bool) (ended string, log *serverLog, err error) {
	log = &serverLog{}
	ending, ended := "as asked", "stopped"
	if find {
		var before *EndedError
		if _, err := s.findSession(ctx); errors.As(err, &before) {
			// Its log is still there, and the steps for a live session do no harm.
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
	grace, end := mergeContexts(within, s.cfg.Grace)
	defer end()
	log = &serverLog{dir: s.cfg.LogDir, id: s.cfg.ID, app: s.cfg.App.Name}
	err = s.endJob(within, grace, log)
	log.close()
	return ended + ": nothing of session " + s.cfg.ID + " is running", log, err
}
