// Package live stores the live sessions of this laptop. Any terminal can list, stop or pick up a
// session by its record. The process that attends the session serves a control socket.
//
// A record is a file with mode 0600 in the state directory. Its process holds an advisory lock on a
// file beside it for as long as it runs. A free lock means that no process of this laptop attends
// the session: it has left the session (detached) or died. The process writes the record before it
// asks Slurm for anything, and removes it last. No record contains a secret (invariant I6): other
// processes request the link over the control socket.
package live

import (
	"cmp"
	"slices"
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

	lost []string // hosts whose connection is lost
}

// Take updates the record from an event of the session. It returns false if nothing has changed.
func (r *Record) Take(e session.Event) bool {
	switch e.Event {
	case session.EventConnecting, session.EventConnected:
		if r.State != "" {
			return false // the node, or a new chain
		}
		r.State = Connecting
	case session.EventQueued:
		r.State, r.Reason, r.Job, r.URL = Queued, e.Reason, e.Job, e.Local
		r.Start, r.Kept = e.Start, e.Kept
	case session.EventGranted:
		r.State, r.Reason, r.URL = Starting, "", e.Local
		r.Start, r.Kept = nil, false
		r.Job, r.Node, r.Partition, r.Account, r.Ends = e.Job, e.Node, e.Partition, e.Account, e.Ends
	case session.EventStarted:
		r.Node = e.Node
	case session.EventReady:
		r.State, r.Reason = Ready, ""
		r.URL, r.LocalPort = e.URL, e.LocalPort
	case session.EventLost:
		if r.State != Ready && r.State != Lost {
			return false
		}
		if !slices.Contains(r.lost, e.Host) {
			r.lost = append(r.lost, e.Host)
		}
		r.tellLost()
	case session.EventRestored:
		if r.State != Lost {
			return false
		}
		r.lost = slices.DeleteFunc(r.lost, func(host string) bool { return host == e.Host })
		r.tellLost()
	case session.EventDetached:
		if e.Kept { // the job is still queued
			r.Kept = true
			return true
		}
		r.State, r.Reason = Detached, ""
	case session.EventWarning:
		if !e.Step && e.Local == "" {
			return false
		}
		r.Step = r.Step || e.Step
		r.URL = cmp.Or(e.Local, r.URL)
	case session.EventEnding:
		r.State, r.Reason = Ending, e.Reason
	default:
		return false
	}
	return true
}

// tellLost sets the state from the lost connections.
func (r *Record) tellLost() {
	r.State, r.Reason = Ready, ""
	if len(r.lost) > 0 {
		r.State, r.Reason = Lost, "the connection to "+r.lost[0]+" is lost"
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
