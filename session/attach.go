package session

import (
	"context"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// NotThereError reports that the cluster has no live session with that ID or prefix, or more than
// one.
type NotThereError struct {
	Prefix, Cluster string
	Known           []string // the IDs of the live sessions that Prefix could mean; if it means none, all of them
}

func (e *NotThereError) Error() string {
	switch {
	case e.Prefix == "" && len(e.Known) == 0:
		return "there is no live session on " + e.Cluster
	case e.Prefix == "":
		return "there is more than one live session on " + e.Cluster
	case len(e.Known) > 0 && strings.HasPrefix(e.Known[0], e.Prefix):
		return "there is more than one live session " + e.Prefix + "… on " + e.Cluster
	}
	return "there is no live session " + e.Prefix + " on " + e.Cluster
}

// EndedError reports that the session has ended. The cluster keeps its log for a week.
type EndedError struct {
	ID, Cluster string
	How         string // "": not known
}

func (e *EndedError) Error() string {
	s := "session " + e.ID + " on " + e.Cluster + " has ended"
	if e.How != "" {
		s += ": " + e.How
	}
	return s
}

// Attach attends a session that this or another laptop has begun. It dials the login node, reads
// the session's events from the first on, opens a local port and forwards to the server. Its end
// does not end the session: on an interrupt or an error, it detaches. ErrStopped as the cause of
// ctx ends the session, and so does Config.Idle, as in Run. Other clients of the session are not
// affected.
//
// The configuration needs no App, Request or Launch: the session's own description counts. Its ID
// may be a prefix, or empty for the only session. Attach calls attached with what it found, before
// it emits an event of the session.
//
// Events and errors are those of Run, and *NotThereError and *EndedError.
func Attach(ctx context.Context, cfg Config, attached func(About, slurm.Found), emit func(Event)) error {
	s := newSession(cfg, emit)
	s.request.attached = attached
	return s.run(ctx)
}

// Find returns the session with that ID or prefix on the cluster; with "", the only live one. It
// returns *NotThereError, *EndedError, or an error of slurm.List.
func Find(ctx context.Context, remote slurm.Remote, prefix, cluster string) (slurm.Found, error) {
	found, _, err := slurm.List(ctx, remote)
	if err != nil {
		return slurm.Found{}, err
	}
	return pickSession(found, prefix, cluster)
}

// findSession finds the session with the configured ID or prefix and takes over its ID, job and
// app.
func (s *sessionCore) findSession(ctx context.Context) (slurm.Found, error) {
	f, err := Find(ctx, s.login.chain, s.cfg.ID, s.cfg.Cluster)
	if err != nil {
		return f, err
	}
	s.cfg.ID, s.out.id, s.job.info.ID = f.ID, f.ID, f.Job
	s.cfg.App, s.server.attachedPort = ParseAbout(f.About).AsApp(), f.Port
	return f, nil
}

// attachToSession finds the session that has been begun before, and takes its settings from its
// description.
func (s *session) attachToSession(ctx context.Context) error {
	f, err := s.findSession(ctx)
	if err != nil {
		return err
	}
	about := ParseAbout(f.About)
	s.cfg.Lease = time.Duration(about.Lease) * time.Second
	s.cfg.Idle = time.Duration(about.Idle) * time.Second
	s.cfg.Launch.ForwardNew = about.ForwardNew
	if s.cfg.Protect == nil {
		s.cfg.Protect = &about.Protect
	}
	s.request.attached(about, f)
	return nil
}

// pickSession returns the one live session whose ID begins with prefix, or the only one.
func pickSession(found []slurm.Found, prefix, cluster string) (slurm.Found, error) {
	e := &NotThereError{Prefix: prefix, Cluster: cluster}
	var live, over []slurm.Found
	for _, f := range found {
		switch {
		case f.ID == prefix && !f.Over:
			return f, nil
		case strings.HasPrefix(f.ID, prefix) && f.Over:
			over = append(over, f)
		case strings.HasPrefix(f.ID, prefix):
			live = append(live, f)
		}
		if !f.Over {
			e.Known = append(e.Known, f.ID)
		}
	}
	switch {
	case len(live) == 1:
		return live[0], nil
	case len(live) == 0 && len(over) == 1 && prefix != "":
		ended := &EndedError{ID: over[0].ID, Cluster: cluster}
		if over[0].Ended != nil {
			ended.How = over[0].Ended.How()
		}
		return slurm.Found{}, ended
	case len(live) > 1:
		e.Known = nil
		for _, f := range live {
			e.Known = append(e.Known, f.ID)
		}
	}
	return slurm.Found{}, e
}
