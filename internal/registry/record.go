// Package registry stores the live sessions of this laptop. Any terminal can list, stop or attend a
// session by its record. The process that attends the session serves a control socket.
//
// A record is a file with mode 0600 in the state directory. Its process holds an advisory lock on a
// file beside it for as long as it runs. A free lock means that no process of this laptop attends
// the session: it has left the session (detached) or died. The process writes the record before it
// asks Slurm for anything, and removes it last. No record contains a secret (invariant I6): other
// processes request the link over the control socket.
package registry

import (
	"cmp"
	"reflect"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// RecordVersion is the version of a record's format.
const RecordVersion = 1

// States of a session in records and in cscs ps.
const (
	Connecting = "connecting"
	Queued     = "queued"
	Starting   = "starting" // granted, but the server does not answer yet
	Ready      = "ready"
	Lost       = "lost" // the connection is lost and is dialled again
	Ending     = "ending"
	Detached   = "detached"   // left on purpose; runs under its lease
	Unattended = "unattended" // its process died; runs under its lease. Never in a file
	Left       = "left"       // torn down incompletely: a job may be left on the cluster
)

// A Record is what this laptop knows of a session.
type Record struct {
	V       int    `json:"v"`
	ID      string `json:"id"`
	App     string `json:"app"`
	Cluster string `json:"cluster"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"` // why it is in that state, if that needs a reason

	Job       string     `json:"job,omitempty"`
	Node      string     `json:"node,omitempty"`
	Partition string     `json:"partition,omitempty"`
	Account   string     `json:"account,omitempty"`
	Start     *time.Time `json:"start,omitempty"` // of a queued job: Slurm's estimate
	Ends      *time.Time `json:"ends,omitempty"`  // end by the job's time limit
	URL       string     `json:"url,omitempty"`   // without a secret
	LocalPort int        `json:"local_port,omitempty"`

	User     string `json:"user,omitempty"`     // --user, so that later commands use the same way
	Identity string `json:"identity,omitempty"` // --identity, for the same reason
	Login    string `json:"login,omitempty"`    // the user on the login node
	Lease    int    `json:"lease,omitempty"`    // seconds; 0: none
	Salloc   bool   `json:"salloc,omitempty"`   // its request waits with salloc, a process on the login node

	Kept bool `json:"kept,omitempty"` // its job is queued and waits without this process
	Step bool `json:"step,omitempty"` // its node is reached by a job step, not by ssh

	Begun   time.Time `json:"begun"`
	Seen    time.Time `json:"seen"`              // when its process last ran, accurate to 30 s
	PID     int       `json:"pid,omitempty"`     // of its process, even after that has left
	Control string    `json:"control,omitempty"` // its control socket

	status session.Status // what the events so far describe
}

// Take updates the record by the next event of the session and reports whether that changed it. It must take all events
// from the first on: the fields that events describe do not keep an earlier value, apart from the job and the node.
func (r *Record) Take(e session.Event) bool {
	before := *r
	r.status.Apply(e)
	s := &r.status
	r.setState()
	r.Job, r.Node, r.URL = cmp.Or(s.Job, r.Job), cmp.Or(s.Node, r.Node), s.URL
	r.Step = r.Step || e.Step && e.Event == session.EventWarning
	r.Start, r.Kept = nil, s.Detached != nil && s.Detached.Kept
	if g := s.Granted; g != nil {
		r.Partition, r.Account, r.Ends = g.Partition, g.Account, g.Ends
	} else if q := s.Queued; q != nil {
		r.Start, r.Kept = q.Start, r.Kept || q.Kept
	}
	if s.Ready != nil {
		r.LocalPort = s.Ready.LocalPort
	}
	after := *r
	before.status, after.status = session.Status{}, session.Status{}
	return !reflect.DeepEqual(before, after)
}

// setState sets the state and its reason from the events so far.
func (r *Record) setState() {
	s := &r.status
	switch {
	case s.Ending != nil:
		r.State, r.Reason = Ending, s.Ending.Reason
	case s.Detached != nil && !s.Detached.Kept: // else the job is still queued
		r.State, r.Reason = Detached, ""
	case s.Ready != nil && len(s.Lost) > 0:
		r.State, r.Reason = Lost, "the connection to "+s.Lost[0].Host+" is lost"
	case s.Ready != nil:
		r.State, r.Reason = Ready, ""
	case s.Granted != nil:
		r.State, r.Reason = Starting, ""
	case s.Queued != nil:
		r.State, r.Reason = Queued, s.Queued.Reason
	case r.State == "":
		r.State = Connecting
	}
}

// Tied reports whether the session cannot go on without its process: its request waits with a
// salloc that ends with the process.
func (r *Record) Tied() bool {
	return r.Salloc && (r.State == Connecting || r.State == Queued)
}

// Over reports whether an unattended session has ended at time now, by this machine's clock: its
// job has reached its time limit, or its lease has expired. A session that was still queued when it
// was last seen may wait for much longer.
func (r *Record) Over(now time.Time) bool {
	if r.Ends == nil {
		return false
	}
	end := *r.Ends
	if lease := r.Seen.Add(time.Duration(r.Lease)*time.Second + session.Overrun); r.Lease > 0 && lease.Before(end) {
		end = lease
	}
	return now.After(end)
}
