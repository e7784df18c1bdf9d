package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// A session is one as the cluster has it: its directory, its events, its lease, its job.
type session struct {
	c     *Cluster
	id    string
	dir   string
	asked *slurm.Asked // its request
	term  time.Duration
	log   *serverLog

	mu      sync.Mutex
	events  []byte
	changed chan struct{}     // closed and renewed whenever something of this changes
	exited  string            // the runner's last line; "": it has none yet
	stamp   time.Time         // when somebody was heard of
	left    bool              // who attended it went on purpose
	clients map[string]string // who attends it, by the nonce of their call
	job     *job
	kept    bool // the request waits by itself
	run     *runner
	removed bool
	journal *os.File
}

// open makes the session of a request, and its directory.
func (c *Cluster) open(asked *slurm.Asked) (*session, error) {
	id := asked.Get("id")
	s := &session{
		c: c, id: id, dir: c.sessionDir(id), asked: asked, term: time.Duration(asked.Int("lease")) * time.Second,
		changed: make(chan struct{}), stamp: time.Now(), clients: map[string]string{},
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
	c.begin(s)
	return s, nil
}

// say appends an event.
func (s *session) say(kind string, fields ...string) {
	line := slurm.Line(kind, fields...)
	s.change(func() {
		s.events = append(s.events, line...)
		if kind == "exited" {
			s.exited = strings.TrimSuffix(line, "\n")
		}
	})
}

// change changes something, and tells those who wait for it.
func (s *session) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// last is the kind of the last event.
func (s *session) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(strings.TrimSuffix(string(s.events), "\n"), "\n")
	kind, _, _ := strings.Cut(lines[len(lines)-1], "\t")
	return kind
}

// port is the one on which its server has listened.
func (s *session) port() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	port := ""
	for line := range strings.Lines(string(s.events)) {
		if rest, ok := strings.CutPrefix(line, "listening\t"); ok {
			for field := range strings.SplitSeq(strings.TrimSuffix(rest, "\n"), "\t") {
				if value, ok := strings.CutPrefix(field, "port="); ok {
					port = value
				}
			}
		}
	}
	return port
}

// about is what the session says of itself.
func (s *session) about() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "session.json"))
	return strings.TrimSuffix(string(b), "\n")
}

// renew renews the lease: one who attends it lives.
func (s *session) renew(nonce, client string) {
	s.change(func() {
		s.stamp, s.left = time.Now(), false
		if client != "" {
			s.clients[nonce] = client
		}
	})
}

// leave: one attends it no more, on purpose if so.
func (s *session) leave(nonce string, purpose bool) {
	s.change(func() {
		delete(s.clients, nonce)
		if purpose {
			s.stamp, s.left = time.Now(), true
		}
	})
}

// owned is for how long the lease still holds; false: for ever.
func (s *session) owned() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.stamp.Add(s.term)), s.term > 0
}

// forsaken reports, when the job starts, whether nobody has been heard of since long
// before, and for how many seconds.
func (s *session) forsaken() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unheard := time.Since(s.stamp)
	return int(unheard.Seconds()), s.term > 0 && !s.left && unheard > s.term+min(s.term, time.Minute)
}

// remove removes the session's directory, and the session.
func (s *session) remove() {
	s.log.close()
	s.c.mu.Lock()
	delete(s.c.sessions, s.id)
	s.c.mu.Unlock()
	s.change(func() {
		s.removed = true
		_ = s.journal.Close()
	})
	_ = os.RemoveAll(s.dir)
	_ = os.Remove(filepath.Dir(s.dir))
	_ = os.Remove(filepath.Dir(filepath.Dir(s.dir)))
}

// keepLog keeps what a client has not taken, unless another client has removed it all.
func (s *session) keepLog(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.removed {
		_ = os.WriteFile(filepath.Join(s.dir, "log"), text, 0o600)
	}
}

// jobState is the line that tells what Slurm knows of the job.
func (k *call) jobState(s *session) {
	s.mu.Lock()
	j := s.job
	s.mu.Unlock()
	if j == nil {
		return
	}
	l := k.c.ctl.look(j)
	k.say("job", "job="+j.number(), "info="+l.info)
}

// list: the user's sessions.
func (k *call) list() {
	k.hello(filepath.Dir(k.c.sessionDir("x")))
	k.c.mu.Lock()
	var all []*session
	for _, s := range k.c.sessions {
		all = append(all, s)
	}
	k.c.mu.Unlock()
	for _, s := range all {
		last, about, port := s.last(), s.about(), s.port()
		s.mu.Lock()
		fields := []string{"id=" + s.id, "about=" + about, fmt.Sprintf("age=%d", int(time.Since(s.stamp).Seconds())), "last=" + last, "port=" + port}
		if s.left {
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
		if j != nil && k.c.ctl.stateOf(j.number()) != "" {
			fields = append(fields, "job="+k.c.ctl.look(j).listed)
		}
		k.say("session", fields...)
	}
	k.say("listed")
}
