package demo

import (
	"encoding/json"
	"time"
)

// A step is an event in a session, as the page shows it.
type step struct {
	Time time.Time `json:"time"`
	Host string    `json:"host"`
	What string    `json:"what"`
}

// journalFile is the file of a session's steps in its directory, one a line. The page reads it.
const journalFile = "journal"

// recentFor is the age up to which a login counts as a step of a new session.
const recentFor = 30 * time.Second

// recordStep records a step of the session id. If id is empty, it is a step of all sessions, and
// of the next one.
func (c *Cluster) recordStep(id, host, what string) {
	c.mu.Lock()
	now := step{time.Now(), shortName(host), what}
	var to []*session
	for _, s := range c.sessions {
		if id == "" || s.id == id {
			to = append(to, s)
		}
	}
	if id == "" {
		c.recentSteps = append(c.recentSteps, now)
		if n := len(c.recentSteps) - 20; n > 0 {
			c.recentSteps = c.recentSteps[n:]
		}
	}
	c.mu.Unlock()
	for _, s := range to {
		s.appendStep(now)
	}
}

// copyRecentSteps gives a new session the steps that led to it.
func (c *Cluster) copyRecentSteps(s *session) {
	c.mu.Lock()
	recent := c.recentSteps
	c.mu.Unlock()
	for _, r := range recent {
		if time.Since(r.Time) < recentFor {
			s.appendStep(r)
		}
	}
}

func (s *session) appendStep(one step) {
	line, err := json.Marshal(one)
	if err != nil {
		panic(err) // cannot happen with strings and a time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.journal.Write(append(line, '\n')) // for display only
}

// recordLogin records the step of a login at host.
func (c *Cluster) recordLogin(host string) {
	what := "you are let in, through ela and the login node; the host's key is the one that the job itself has told"
	switch host {
	case jumpName:
		what = "you are let in: your certificate is signed by this cluster's authority, and you know the host by its key"
	case loginName:
		what = "you are let in, through ela; what you send is encrypted all the way to here"
	}
	c.recordStep("", host, what)
}
