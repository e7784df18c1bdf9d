package slurm

import (
	"net"
	"strconv"
	"time"
)

// An Event is one thing that the remote half told of a session, in the order in
// which it happened.
type Event interface{ isEvent() }

type (
	// Hello: the remote half runs on the login node.
	Hello struct {
		Host string // which of the login nodes
		Dir  string // the session's directory there
	}
	// Pending: the request has a number.
	Pending struct {
		Job string
		// Kept: it waits in Slurm alone. No process on the login node guards it any more,
		// and the end of a connection is not its end.
		Kept bool
	}
	// Queued: what Slurm says of a pending job.
	Queued struct {
		Job       string
		State     string    // squeue's %T
		Reason    string    // squeue's %r
		Explained string    // the reason in plain words
		Start     time.Time // Slurm's estimate; zero: none yet
	}
	// Granted: the allocation is ours.
	Granted struct{ Job JobInfo }
	// Alive: the runner is up on its node, and no process on the login node
	// guards it any more.
	Alive struct {
		Job, Step string
		Node      string
		PID       int      // of the runner, on its node
		HostKeys  []string // the node's, as lines of authorized_keys(5) have them
		Addrs     []string // the node's own, as numbers; not its loopback's
	}
	// Scanned: the host keys that the node's own sshd shows on the node.
	Scanned struct{ HostKeys []string }
	// Requeued: Slurm has put a granted job back into the queue before its runner began.
	Requeued struct{ Job string }
	// LeaseUnwritten: the login node cannot write the lease. LeaseWritten: it can again.
	LeaseUnwritten struct{ Host, Message string }
	LeaseWritten   struct{}
	// Started: the server's process exists.
	Started struct {
		Node string
		PID  int
		Port int // that it is to listen on
	}
	// Unlaunched: the login shell that is to run the server has not come to that so far.
	// Launched: it has at last.
	Unlaunched struct{ Err *LoginShellError }
	Launched   struct{}
	// Work: a server that starts is seen to work (its log grows, or its processes compute), or
	// has not been for some time.
	Work struct{ Busy bool }
	// Listening: the server listens, and the socket is the user's. Again when
	// the socket changes.
	Listening struct {
		Addr  string // the exact address to forward to, host:port
		Bound string // the address that it is bound to
		Wide  bool   // others can reach it too, which was allowed
	}
	// Closed: the server's socket is gone, or not the user's any more.
	Closed struct{}
	// Elsewhere: the user has a new listener on another port than the server's. Told
	// until the server listens or, with Launch.ForwardNew, until the end.
	Elsewhere struct{ Addr string }
	// Vanished: one that was told of is gone.
	Vanished struct{ Addr string }
	// Exited: the runner ended the session on the node. See Outcome.
	Exited struct {
		Reason  string // exit, asked, term, lease, wide, port, collision, setup, shell, killed
		Code    int    // the server's exit status; -1: it has none
		Message string
		Cause   string // for "term": the job's state to be, where that would not tell any more: PREEMPTED, REQUEUED
	}
	// Note: something that the user should know, in Slurm's or the remote half's words.
	Note struct{ Message string }
	// JobState: what Slurm knows of the job, asked because its events stopped.
	JobState struct{ Job JobInfo }
)

func (Hello) isEvent()    {}
func (Pending) isEvent()  {}
func (Queued) isEvent()   {}
func (Granted) isEvent()  {}
func (Alive) isEvent()    {}
func (Scanned) isEvent()  {}
func (Work) isEvent()     {}
func (Requeued) isEvent() {}
func (Started) isEvent()  {}

func (LeaseUnwritten) isEvent() {}
func (LeaseWritten) isEvent()   {}

func (Unlaunched) isEvent() {}
func (Launched) isEvent()   {}
func (Listening) isEvent()  {}
func (Closed) isEvent()     {}
func (Elsewhere) isEvent()  {}
func (Vanished) isEvent()   {}
func (Exited) isEvent()     {}
func (Note) isEvent()       {}
func (JobState) isEvent()   {}

// toEvent turns a line into an Event; nil for a line that is none.
func (l line) toEvent() Event {
	switch l.kind {
	case "hello":
		return Hello{Host: l.get("host"), Dir: l.get("dir")}
	case "pending":
		return Pending{Job: l.get("job"), Kept: l.get("kept") != ""}
	case "queue":
		return parseQueue(l.get("job"), l.get("answer"))
	case "granted":
		info := parseJobInfo(l.get("info"))
		info.ID = l.get("job")
		return Granted{Job: info}
	case "alive":
		return Alive{Job: l.get("job"), Step: l.get("step"), Node: l.get("node"), PID: int(l.getInt("pid")), HostKeys: l.getAll("hostkey"), Addrs: reachableAddresses(l.getAll("at"))}
	case "scanned":
		return Scanned{HostKeys: l.getAll("hostkey")}
	case "requeued":
		return Requeued{Job: l.get("job")}
	case "lease":
		if l.get("written") != "" {
			return LeaseWritten{}
		}
		return LeaseUnwritten{Host: l.get("host"), Message: l.get("message")}
	case "started":
		return Started{Node: l.get("node"), PID: int(l.getInt("pid")), Port: int(l.getInt("port"))}
	case "unlaunched":
		return Unlaunched{&LoginShellError{Host: l.get("node"), Status: -1, After: time.Duration(l.getInt("after")) * time.Second}}
	case "launched":
		return Launched{}
	case "work":
		return Work{Busy: l.get("busy") != ""}
	case "listening":
		return Listening{Addr: net.JoinHostPort(l.get("addr"), l.get("port")), Bound: net.JoinHostPort(l.get("bound"), l.get("port")), Wide: l.get("wide") != ""}
	case "closed":
		return Closed{}
	case "elsewhere":
		return Elsewhere{Addr: net.JoinHostPort(l.get("addr"), l.get("port"))}
	case "vanished":
		return Vanished{Addr: net.JoinHostPort(l.get("addr"), l.get("port"))}
	case "exited":
		return parseExited(l)
	case "note":
		return Note{Message: l.get("message")}
	case "collision":
		return Note{Message: "port " + l.get("port") + " on the node was taken by another process in the same moment: trying another"}
	case "job":
		return JobState{Job: parseJobInfo(l.get("info"))}
	}
	return nil
}

// How says how it ended, for one that was not there.
func (e Exited) How() string {
	switch {
	case e.Message != "":
		return e.Message
	case e.Reason == "term" && e.Cause != "":
		return "its job " + JobInfo{State: e.Cause}.explainState()
	case e.Reason == "term":
		return "slurm ended its job"
	case e.Reason == "asked":
		return "it was stopped"
	case e.Code >= 0:
		return "its server ended with status " + formatInt(e.Code)
	}
	return "its server ended"
}

func parseExited(l line) Exited {
	code, err := strconv.Atoi(l.get("code"))
	if err != nil {
		code = -1
	}
	return Exited{Reason: l.get("reason"), Code: code, Message: cleanMessage(l.get("message")), Cause: l.get("cause")}
}
