// Package live knows the live sessions of this laptop: a record of each, by which any
// terminal can list, stop or pick it up, and the control socket of the process that
// attends it.
//
// A record is a file, 0600, in the state directory. Its process holds an advisory lock
// beside it for as long as it lives: a record whose lock is free has nobody here any more
// who attends the session, be it that the user left it (detached) or that the process
// died. It is written before anything is asked of Slurm and removed last, and no secret
// is in it (invariant I6): the way into a server is asked for over the control socket.
package live

import (
	"cmp"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// RecordVersion is the version of the form of a record.
const RecordVersion = 1

// States of a session, as records and cscs ps have them.
const (
	Connecting = "connecting"
	Queued     = "queued"
	Starting   = "starting" // granted, the server does not answer yet
	Ready      = "ready"
	Lost       = "lost" // the connection is, and is being made again
	Ending     = "ending"
	Detached   = "detached"   // left on purpose; runs under its lease
	Unattended = "unattended" // its process has died; likewise. Never in a file
	Left       = "left"       // torn down incompletely: something may be left on the cluster
)

// A Record is what this laptop knows of a session.
type Record struct {
	V       int    `json:"v"`
	ID      string `json:"id"`
	App     string `json:"app"`
	Cluster string `json:"cluster"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"` // why it is in that state, if that is not plain

	Job       string     `json:"job,omitempty"`
	Node      string     `json:"node,omitempty"`
	Partition string     `json:"partition,omitempty"`
	Account   string     `json:"account,omitempty"`
	Start     *time.Time `json:"start,omitempty"` // of a queued job: Slurm's estimate
	Ends      *time.Time `json:"ends,omitempty"`  // by the job's time limit
	URL       string     `json:"url,omitempty"`   // without a secret
	LocalPort int        `json:"local_port,omitempty"`

	User     string `json:"user,omitempty"`     // --user, so that later commands go the same way
	Identity string `json:"identity,omitempty"` // --identity, likewise
	Login    string `json:"login,omitempty"`    // the user on the login node
	Lease    int    `json:"lease,omitempty"`    // seconds; 0: none
	Salloc   bool   `json:"salloc,omitempty"`   // its request waits with salloc, which this process runs on the login node

	Kept bool `json:"kept,omitempty"` // its job is queued, and waits without this process
	Step bool `json:"step,omitempty"` // its node is reached by a step of the job, not by ssh

	Begun   time.Time `json:"begun"`
	Seen    time.Time `json:"seen"`              // when its process was alive, to half a minute
	PID     int       `json:"pid,omitempty"`     // of that process, also of one that has left
	Control string    `json:"control,omitempty"` // its control socket

	lost []string // hosts whose connection is lost
}

// Take takes in an event of the session; false: it changes nothing of the record.
func (r *Record) Take(e session.Event) bool {
	switch e.Event {
	case session.EventConnecting, session.EventConnected:
		if r.State != "" {
			return false // the node, or a chain that is dialled again
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
		if e.Kept { // its job is queued all the same
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

// tellLost sets the state by the connections that are lost.
func (r *Record) tellLost() {
	r.State, r.Reason = Ready, ""
	if len(r.lost) > 0 {
		r.State, r.Reason = Lost, "the connection to "+r.lost[0]+" is lost"
	}
}

// Tied reports whether the session cannot go on without its process: its request waits with a salloc
// that ends with that.
func (r *Record) Tied() bool {
	return r.Salloc && (r.State == Connecting || r.State == Queued)
}

// Over reports whether a session that no process here attends has ended by then, as far as this
// machine's clock says: its job has reached its time limit, or its lease has run out. One that was still queued
// when it was seen last may wait for much longer.
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
