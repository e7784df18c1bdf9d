package session

import (
	"context"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// NotThereError tells that the cluster has no live session of that ID, or prefix of one.
type NotThereError struct {
	Prefix, Cluster string
	Known           []string // the IDs of those that it has
}

func (e *NotThereError) Error() string {
	switch {
	case e.Prefix == "" && len(e.Known) == 0:
		return "there is no live session on " + e.Cluster
	case e.Prefix == "":
		return "there is more than one live session on " + e.Cluster
	}
	return "there is no live session " + e.Prefix + " on " + e.Cluster
}

// EndedError tells that the session has ended; what it has left on the cluster, its log, is
// kept there for a week.
type EndedError struct {
	ID, Cluster string
	How         string // "": nobody has said
}

func (e *EndedError) Error() string {
	s := "session " + e.ID + " on " + e.Cluster + " has ended"
	if e.How != "" {
		s += ": " + e.How
	}
	return s
}

// Attach picks up a session that was begun before, by this laptop or another: it dials
// the login node, takes the session's events from the beginning, opens a local port and
// forwards to its server. Its end is not the session's: interrupted, or on any error, it
// detaches; ErrStopped as ctx's cause takes everything down, and so does Config.Idle, as in Run. Others that attend
// the session do not notice.
//
// Of the configuration it needs no App, Request and Launch: what the session says of
// itself counts; its ID may be the beginning of one, or empty for the only session there
// is. adopted is told what was found, before anything of the session is told.
//
// Events and errors are as Run's; also *NotThereError and *EndedError.
func Attach(ctx context.Context, cfg Config, adopted func(About, slurm.Found), emit func(Event)) error {
	s := newSession(cfg, emit)
	s.adopted = adopted
	return s.run(ctx)
}

// Find looks for the session of that ID, or the beginning of one, on the cluster; with "", for
// the only live one there is. It returns *NotThereError, *EndedError, or slurm.List's.
func Find(ctx context.Context, remote slurm.Remote, prefix, cluster string) (slurm.Found, error) {
	found, _, err := slurm.List(ctx, remote)
	if err != nil {
		return slurm.Found{}, err
	}
	return pickSession(found, prefix, cluster)
}

// findSession makes the session the one that the cluster has of that ID, or prefix of one.
func (s *session) findSession(ctx context.Context) (slurm.Found, error) {
	f, err := Find(ctx, s.chain, s.cfg.ID, s.cfg.Cluster)
	if err != nil {
		return f, err
	}
	s.cfg.ID, s.out.id, s.job.ID = f.ID, f.ID, f.Job
	s.cfg.App, s.serverPort = ParseAbout(f.About).AsApp(), f.Port
	return f, nil
}

// adoptSession makes the session one that goes on already.
func (s *session) adoptSession(ctx context.Context) error {
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
	s.adopted(about, f)
	return nil
}

// pickSession is the one live session whose ID begins with prefix, or the only one.
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
	}
	return slurm.Found{}, e
}
