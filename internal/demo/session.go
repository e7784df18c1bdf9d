package demo

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// A session is a session in the cluster: its directory, events, lease and job.
type session struct {
	c         *Cluster
	id        string
	dir       string
	asked     *slurm.ParsedCall // the request
	leaseTerm time.Duration
	log       *serverLog

	mu            sync.Mutex
	events        []byte
	changed       chan struct{}     // closed and replaced whenever a field changes
	lastKind      string            // the kind of the last event; "": none yet
	port          string            // on which the server last listened; "": none
	exited        string            // the runner's last event; "": none yet
	lastHeard     time.Time         // when a client last renewed the lease
	leftOnPurpose bool              // the last client left on purpose
	clients       map[string]string // the attached clients, by the nonce of their call
	job           *job
	kept          bool // the request waits without a client
	run           *runner
	removed       bool
	journal       *os.File
}

// createSession creates the session of a request, and its directory.
func (c *Cluster) createSession(asked *slurm.ParsedCall) (*session, error) {
	id := asked.Get("id")
	s := &session{
		c: c, id: id, dir: c.sessionDir(id), asked: asked, leaseTerm: time.Duration(asked.Int("lease")) * time.Second,
		changed: make(chan struct{}), lastHeard: time.Now(), clients: map[string]string{},
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	for name, text := range asked.Files() {
		if err := os.WriteFile(filepath.Join(s.dir, filepath.Base(name)), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	var err error
	if s.log, err = newServerLog(s.dir); err != nil {
		return nil, err
	}
	if s.journal, err = os.OpenFile(filepath.Join(s.dir, journalFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.sessions[id] = s
	c.mu.Unlock()
	c.copyRecentSteps(s)
	return s, nil
}

// appendEvent appends an event.
func (s *session) appendEvent(kind string, fields ...string) {
	line := slurm.Line(kind, fields...)
	s.updateAndNotify(func() {
		s.events, s.lastKind = append(s.events, line...), kind
		if kind == "exited" {
			s.exited = strings.TrimSuffix(line, "\n")
		}
		for _, f := range fields {
			if port, ok := strings.CutPrefix(f, "port="); ok && kind == "listening" {
				s.port = port
			}
		}
	})
}

// updateAndNotify calls f with the lock held, and wakes those who wait for a change.
func (s *session) updateAndNotify(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// readSessionFile returns the client's description of the session (session.json).
func (s *session) readSessionFile() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "session.json"))
	return strings.TrimSuffix(string(b), "\n")
}

// renewLease renews the lease for an attached client.
func (s *session) renewLease(nonce, client string) {
	s.updateAndNotify(func() {
		s.lastHeard, s.leftOnPurpose = time.Now(), false
		if client != "" {
			s.clients[nonce] = client
		}
	})
}

// removeClient removes a client. If purpose is set, the client left on purpose, which renews the
// lease.
func (s *session) removeClient(nonce string, purpose bool) {
	s.updateAndNotify(func() {
		delete(s.clients, nonce)
		if purpose {
			s.lastHeard, s.leftOnPurpose = time.Now(), true
		}
	})
}

// remainingLease returns how long the lease still holds. false: the session has no lease.
func (s *session) remainingLease() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.lastHeard.Add(s.leaseTerm)), s.leaseTerm > 0
}

// checkAbandoned reports, when the job starts, whether the lease had expired long before. It
// returns the seconds since a client last renewed it.
func (s *session) checkAbandoned() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unheard := time.Since(s.lastHeard)
	return int(unheard.Seconds()), s.leaseTerm > 0 && !s.leftOnPurpose && unheard > s.leaseTerm+min(s.leaseTerm, time.Minute)
}

// remove removes the session and its directory.
func (s *session) remove() {
	s.log.close()
	s.c.mu.Lock()
	delete(s.c.sessions, s.id)
	s.c.mu.Unlock()
	s.updateAndNotify(func() {
		s.removed = true
		_ = s.journal.Close()
	})
	_ = os.RemoveAll(s.dir)
	_ = os.Remove(filepath.Dir(s.dir))
	_ = os.Remove(filepath.Dir(filepath.Dir(s.dir)))
}

// keepLog stores a log that a client has not received, unless the session has been removed.
func (s *session) keepLog(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.removed {
		_ = os.WriteFile(filepath.Join(s.dir, "log"), text, 0o600)
	}
}

// jobState sends the line with Slurm's state of the job.
func (k *call) jobState(s *session) {
	if j := s.theJob(); j != nil {
		k.writeLine("job", "job="+j.idString(), "info="+k.c.ctl.snapshotJob(j).info)
	}
}

// listSessions answers the verb list: the user's sessions.
func (k *call) listSessions() {
	k.writeHello(filepath.Dir(k.c.sessionDir("x")))
	k.c.mu.Lock()
	all := slices.Collect(maps.Values(k.c.sessions))
	k.c.mu.Unlock()
	for _, s := range all {
		about := s.readSessionFile()
		s.mu.Lock()
		fields := []string{"id=" + s.id, "about=" + about, fmt.Sprintf("age=%d", int(time.Since(s.lastHeard).Seconds())), "last=" + s.lastKind, "port=" + s.port}
		if s.leftOnPurpose {
			fields = append(fields, "left=1")
		}
		for _, client := range s.clients {
			fields = append(fields, "client="+client)
		}
		if _, how, ok := strings.Cut(s.exited, "\t"); ok {
			fields = append(fields, strings.Split(how, "\t")...)
		}
		j := s.job
		s.mu.Unlock()
		if j != nil && k.c.ctl.stateOf(j.idString()) != "" {
			fields = append(fields, "job="+k.c.ctl.snapshotJob(j).squeueLine)
		}
		k.writeLine("session", fields...)
	}
	k.writeLine("listed")
}
