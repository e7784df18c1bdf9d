package slurm

import (
	"net"
	"strconv"
	"time"
)

// An Event is one report of the remote half on a session. Events come in order.
type Event interface{ isEvent() }

type (
	// Hello reports that the remote half runs on the login node.
	Hello struct {
		Host string // the login node
		Dir  string // the session's directory there
	}
	// Pending reports that the request has a number.
	Pending struct {
		Job string
		// Kept reports that the request waits in Slurm alone. No process on the login node guards
		// it any more, and it survives the end of the connection.
		Kept bool
	}
	// Queued is what Slurm reports of a pending job.
	Queued struct {
		Job       string
		State     string    // squeue's %T
		Reason    string    // squeue's %r
		Explained string    // the reason in plain words
		Start     time.Time // Slurm's estimate; zero if there is none yet
	}
	// Granted reports that the allocation is granted.
	Granted struct{ Job JobInfo }
	// Alive reports that the runner has started on its node. The login node no longer guards it.
	Alive struct {
		Job, Step string
		Node      string
		PID       int      // of the runner, on its node
		HostKeys  []string // the node's, in the form of authorized_keys(5)
		Addrs     []string // the node's IP addresses, without loopback
	}
	// Scanned reports the host keys that the node's own sshd presents on the node.
	Scanned struct{ HostKeys []string }
	// Requeued reports that a granted job waits again before its runner began. Slurm put it back
	// into the queue, or another job takes its place, for the reason in Message.
	Requeued struct{ Job, Message string }
	// LeaseUnwritten reports that the login node cannot write the lease, LeaseWritten that it can.
	LeaseUnwritten struct{ Host, Message string }
	LeaseWritten   struct{}
	// Started reports that the server's process exists.
	Started struct {
		Node string
		PID  int
		Port int // the port that the server is to listen on
	}
	// Unlaunched reports that the login shell has not yet reached the start of the server. Launched
	// reports that it has after all.
	Unlaunched struct{ Err *LoginShellError }
	Launched   struct{}
	// Work reports whether a server that starts works: its log grows or its processes compute. Busy
	// is false after some time without either.
	Work struct{ Busy bool }
	// Listening reports that the server listens, and that the socket is the user's. It comes again
	// when the socket changes.
	Listening struct {
		Addr  string // the exact address to forward to, host:port
		Bound string // the address that the socket is bound to
		Wide  bool   // other users can reach it too, which the user allowed
	}
	// Closed reports that the server's socket is gone, or is no longer the user's.
	Closed struct{}
	// Elsewhere reports a new listener of the user's on another port than the server's. The runner
	// reports these while the server does not listen or, with Launch.ForwardNew, until the end.
	Elsewhere struct{ Addr string }
	// Vanished reports that a listener of an Elsewhere is gone.
	Vanished struct{ Addr string }
	// Exited reports that the runner ended the session on the node. See Outcome.
	Exited struct {
		Reason  string // exit, asked, term, lease, wide, port, collision, setup, shell, killed
		Code    int    // the server's exit status; -1 if it has none
		Message string
		Cause   string // for "term": PREEMPTED or REQUEUED, if the job's state will not show it
	}
	// Note is a message to the user, in Slurm's or the remote half's words.
	Note struct{ Message string }
	// JobState is what Slurm knows of the job. The remote half asks when the job's events stop.
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

// toEvent returns the Event of a line; nil if the line is not an event.
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
		return Requeued{Job: l.get("job"), Message: l.get("message")}
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
		return Note{Message: "port " + l.get("port") + " on the node was taken by another process at the same moment: trying another port"}
	case "job":
		return JobState{Job: parseJobInfo(l.get("info"))}
	}
	return nil
}

// How returns in words how the session ended, for a client that did not see it.
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
		return "its server ended with status " + strconv.Itoa(e.Code)
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
