package session

import (
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// For how long a login node, and then Slurm, may say nothing before that is told.
const (
	shellPatience = 8 * time.Second
	slurmPatience = 15 * time.Second
)

// mayBeQuiet is how long what is waited for now may take in silence.
func (s *session) mayBeQuiet() time.Duration {
	switch {
	case s.cfg.quiet != 0:
		return s.cfg.quiet
	case s.greeted:
		return slurmPatience
	}
	return shellPatience
}

// tellQuiet tells what is waited for: the login shell, or Slurm's answer to the request.
func (s *session) tellQuiet() {
	var err error = slurm.ShellHangs(s.mayBeQuiet(), "")
	if s.greeted {
		err = &slurm.SilentError{Message: "nothing was heard of the request for " + s.mayBeQuiet().String(), Where: s.cfg.Hops[len(s.cfg.Hops)-1].Name}
	}
	x := s.cfg.Explain(err)
	s.out.warn(x.Message + " (" + x.inline() + "); still waiting")
}
