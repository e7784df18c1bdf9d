package session

import (
	"context"
	"slices"
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
// Events and errors are as Run's; also *NotThereError.
func Attach(ctx context.Context, cfg Config, adopted func(About, slurm.Found), emit func(Event)) error {
	s := newSession(cfg, emit)
	s.adopted = adopted
	return s.run(ctx)
}

// find makes the session the one that the cluster has of that ID, or prefix of one.
func (s *session) find(ctx context.Context) (f slurm.Found, err error) {
	found, _, err := slurm.List(ctx, s.chain)
	if err == nil {
		f, err = pick(found, s.cfg.ID, s.cfg.Cluster)
	}
	if err != nil {
		return f, err
	}
	s.cfg.ID, s.out.id, s.job.ID = f.ID, f.ID, f.Job
	s.cfg.App = ParseAbout(f.About).AsApp()
	return f, nil
}

// adopt makes the session one that goes on already.
func (s *session) adopt(ctx context.Context) error {
	f, err := s.find(ctx)
	if err != nil {
		return err
	}
	about := ParseAbout(f.About)
	s.cfg.Lease = time.Duration(about.Lease) * time.Second
	s.cfg.Idle = time.Duration(about.Idle) * time.Second
	s.cfg.Launch.ForwardNew = about.ForwardNew
	s.adopted(about, f)
	return nil
}

// pick is the one session whose ID begins with prefix, or the only one.
func pick(found []slurm.Found, prefix, cluster string) (slurm.Found, error) {
	found = slices.DeleteFunc(slices.Clone(found), func(f slurm.Found) bool { return f.Over })
	e := &NotThereError{Prefix: prefix, Cluster: cluster}
	var hits []slurm.Found
	for _, f := range found {
		e.Known = append(e.Known, f.ID)
		if f.ID == prefix {
			return f, nil
		}
		if strings.HasPrefix(f.ID, prefix) {
			hits = append(hits, f)
		}
	}
	if len(hits) != 1 {
		return slurm.Found{}, e
	}
	return hits[0], nil
}
