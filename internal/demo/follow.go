package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/alps-tunnel/cscs/slurm"
)

// followEvents sends the session's events from byte offset on, and before the grant the state of
// the queue. It returns when the client leaves or the session ends.
func (k *call) followEvents(s *session, offset int, granted bool) {
	nonce := strings.TrimSpace(k.Greeting())
	s.renewLease(nonce, k.Get("client_name"))
	defer s.removeClient(nonce, false)
	told, j := "", s.theJob()
	for {
		// Take the channels first, then the state, so that no change is missed.
		s.mu.Lock()
		changed, events, exited, removed := s.changed, s.events, s.exited, s.removed
		s.mu.Unlock()
		l := k.c.ctl.snapshotJob(j)
		if removed {
			k.reportGone()
			return
		}
		if !granted && (l.state == "RUNNING" || len(events) > 0) {
			granted = true
			k.writeLine("granted", "job="+j.idString(), "info="+l.info)
		}
		for offset < len(events) {
			n := strings.IndexByte(string(events[offset:]), '\n') + 1
			_, _ = io.WriteString(k.out, "@"+string(events[offset:offset+n]))
			offset += n
		}
		switch {
		case strings.Contains(exited, "reason=asked"):
			return // the client that asked for the stop receives the rest
		case exited != "" || !granted && l.state != "PENDING":
			k.jobState(s)
			return
		}
		if answer := l.queueAnswer(); !granted && answer != told {
			told = answer
			k.writeLine("queue", "job="+j.idString(), "answer="+answer)
		}
		select {
		case <-changed:
		case <-l.changed:
		case line, ok := <-k.lines:
			if !ok {
				if !granted && !s.isKept() {
					k.withdrawRequest(s) // salloc's request ends with salloc
				}
				return
			}
			if k.handleClientLine(s, nonce, line, granted) {
				return
			}
		}
	}
}

// theJob returns the session's job, or nil if there is none. s may be nil.
func (s *session) theJob() *job {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job
}

func (s *session) isKept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// handleClientLine handles a line from the client. It returns true if the answer is complete.
func (k *call) handleClientLine(s *session, nonce, line string, granted bool) bool {
	switch line {
	case "stop":
		if granted {
			return false // the verb stop does that
		}
		k.withdrawRequest(s)
		return true
	case "detach":
		if !granted && !s.isKept() {
			k.writeLine("note", "message=the request waits with salloc on "+shortName(k.host)+" and ends with this session: it cannot be detached before it is granted")
			return false
		}
		s.removeClient(nonce, true)
		k.writeLine("detached")
		return true
	}
	if _, err := strconv.ParseUint(line, 10, 64); err == nil {
		s.renewLease(nonce, k.Get("client_name"))
	}
	return false
}

// withdrawRequest cancels a request that has not been granted.
func (k *call) withdrawRequest(s *session) {
	j := s.theJob()
	k.c.ctl.endJob(j, "CANCELLED", false)
	s.remove()
	k.writeLine("withdrawn", "job="+j.idString())
}

// stopSession answers the verb stop: it ends the job and hands the server's log over.
func (k *call) stopSession() {
	defer k.startLineReader()()
	id := k.Get("id")
	s := k.findSession()
	k.writeHello(k.c.sessionDir(id))
	if s != nil && k.Int("grace") > 0 && k.Get("step") != "" {
		k.askRunner(s)
	}
	for _, j := range k.c.ctl.activeJobsNamed(slurm.JobName(id)) {
		k.c.ctl.endJob(j, "CANCELLED", k.Get("kill") != "")
	}
	if j := s.theJob(); j != nil && k.Get("kill") != "" {
		k.c.ctl.endJob(j, "CANCELLED", true) // kills a job that is ending already
	}
	k.writeLine("stopped")
	k.handOver(s)
}

// askRunner asks the runner to end the server, and waits until it has ended.
func (k *call) askRunner(s *session) {
	s.mu.Lock()
	r := s.run
	s.mu.Unlock()
	if r == nil {
		return
	}
	trySend(r.stopAsked)
	for {
		s.mu.Lock()
		exited, changed := s.exited, s.changed
		s.mu.Unlock()
		if exited != "" {
			_, _ = io.WriteString(k.out, exited+"\n")
			return
		}
		select {
		case <-changed:
		case _, ok := <-k.lines:
			if !ok {
				return
			}
		}
	}
}

// handOver sends the server's log, and removes the session's directory when the client has it.
func (k *call) handOver(s *session) {
	if s == nil {
		k.writeLine("log", "bytes=0")
		return
	}
	s.awaitRunner()
	text := s.log.readAll()
	k.writeLine("log", fmt.Sprintf("bytes=%d", len(text)))
	_, _ = k.out.Write(text)
	if line := <-k.lines; line == "ok" {
		s.remove()
	} else {
		s.keepLog(text)
	}
	k.writeLine("removed")
}
