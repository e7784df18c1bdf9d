package session

import (
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// How long a login node, and then Slurm, may be silent before the user is told.
const (
	slowShellTimeout = 8 * time.Second
	slowSlurmTimeout = 15 * time.Second
)

// slowResponseTimeout returns how long the current step may be silent.
func (s *session) slowResponseTimeout() time.Duration {
	switch {
	case s.cfg.slowResponse != 0:
		return s.cfg.slowResponse
	case s.request.greeted:
		return slowSlurmTimeout
	}
	return slowShellTimeout
}

// reportSlowResponse warns of what the session waits for: the login shell, or Slurm's answer.
func (s *session) reportSlowResponse() {
	var err error = slurm.ShellHangs(s.slowResponseTimeout(), "")
	if s.request.greeted {
		err = &slurm.SilentError{Message: "no answer to the request for " + s.slowResponseTimeout().String(), Where: s.cfg.Hops[len(s.cfg.Hops)-1].Name}
	}
	x := s.cfg.Explain(err)
	s.out.warn(x.Message + " (" + x.inlineHint() + "); still waiting")
}
