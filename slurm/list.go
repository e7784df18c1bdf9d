package slurm

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Found is a session that the cluster has, from any client.
type Found struct {
	ID                 string
	About              string        // the session's own description, its file session.json
	Age                time.Duration // time since the last renewal of its lease; -1: unknown
	Left               bool          // its client detached
	Serving            bool          // the server listens
	Port               int           // the server's port on its node; 0: unknown
	Over               bool          // it has ended; its log can still exist
	Ended              *Exited       // the runner's last report; nil: none
	Clients            []string      // the clients that attend it, by their own names
	Job                string        // "": Slurm has no job of it
	State              string        // squeue's %T
	Reason             string        // why it is pending, in plain words
	Start              time.Time     // of a pending job: Slurm's estimate
	Ends               time.Time     // of a running job: by its time limit
	Nodes              []string
	Partition, Account string
}

// Swept is a session whose job was cancelled because no client renewed its lease in time. It is
// also an event of a Submission's.
type Swept struct {
	ID, Job, State string
	Age            time.Duration // time since the last renewal of the lease
}

// List returns the user's sessions on the cluster. It ends stale sessions, and returns them
// separately. It asks Slurm once. It returns *RemoteError, or the error of the connection.
func List(ctx context.Context, remote Remote) ([]Found, []Swept, error) {
	var found []Found
	var swept []Swept
	c := call{verb: "list", vars: new(vars), handle: func(l line) error {
		switch l.kind {
		case "session":
			if l.isListed() { // otherwise it is the user's own directory or job
				found = append(found, parseFound(l))
			}
		case "swept":
			if l.isListed() {
				swept = append(swept, parseSwept(l))
			}
		}
		return nil
	}}
	if err := c.runToEnd(ctx, remote, "listed"); err != nil {
		return nil, swept, err
	}
	// The host read a swept session before it cancelled its job.
	found = slices.DeleteFunc(found, func(f Found) bool {
		return slices.ContainsFunc(swept, func(w Swept) bool { return w.ID == f.ID })
	})
	return found, swept, nil
}

func parseSwept(l line) Swept {
	return Swept{ID: l.get("id"), Job: jobOf(l.get("job")), State: l.get("state"), Age: parseAge(l)}
}

func (Swept) isEvent() {}

func parseAge(l line) time.Duration {
	n, err := strconv.ParseInt(l.get("age"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return time.Duration(n) * time.Second
}

// parseFound parses a session's line; its job is squeue's %i|%T|%r|%S|%e|%P|%a|%N.
func parseFound(l line) Found {
	f := Found{ID: l.get("id"), About: l.get("about"), Age: parseAge(l), Left: l.get("left") != "", Clients: l.getAll("client")}
	if p := l.getInt("port"); 0 < p && p < 1<<16 {
		f.Port = int(p)
	}
	switch l.get("last") {
	case "listening":
		f.Serving = true
	case "exited":
		x := parseExited(l)
		f.Over, f.Ended = true, &x
	}
	q := strings.SplitN(l.get("job"), "|", 8)
	if len(q) != 8 {
		f.Over = true // or its client has not requested a job yet, and knows that
		return f
	}
	f.Over = f.Over || q[1] == "COMPLETING" // its processes only have to die
	f.Job, f.State, f.Partition, f.Account = jobOf(q[0]), q[1], q[5], emptyIfUnset(q[6])
	if f.State == "PENDING" {
		f.Reason, f.Start = ExplainReason(q[2], f.Job), unixTime(q[3])
	} else {
		f.Ends = unixTime(q[4])
	}
	f.Nodes, _ = Hostlist(q[7])
	return f
}

// emptyIfUnset returns "" for the words that Slurm prints for a missing value.
func emptyIfUnset(s string) string {
	if s == "(null)" || s == "N/A" || s == "None" {
		return ""
	}
	return s
}
