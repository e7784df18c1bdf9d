package slurm

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Found session is one as the cluster has it, from whatever laptop it was begun.
type Found struct {
	ID                 string
	About              string        // what the session says of itself: its file session.json
	Age                time.Duration // since its lease was renewed; -1: not known
	Left               bool          // it was left on purpose, under its lease
	Serving            bool          // the server listens
	Port               int           // on which the server has listened, on its node; 0: not known
	Over               bool          // it has ended; its log may still be there
	Ended              *Exited       // how, as its runner has said; nil: it did not
	Clients            []string      // who attends it, as they call themselves
	Job                string        // "": Slurm has none of it
	State              string        // squeue's %T
	Reason             string        // why it waits, in plain words
	Start              time.Time     // of a job that waits: Slurm's estimate
	Ends               time.Time     // of a job that runs: by its time limit
	Nodes              []string
	Partition, Account string
}

// Swept is a session that nobody had owned for longer than its lease, so that its job was
// cancelled: an event of a Submission's, too.
type Swept struct {
	ID, Job, State string
	Age            time.Duration // since somebody had been heard of
}

// List returns the user's sessions on the cluster, and ends those without an owner, which it
// returns apart. It asks Slurm once. It returns *RemoteError, or the error of the connection.
func List(ctx context.Context, remote Remote) ([]Found, []Swept, error) {
	var found []Found
	var swept []Swept
	complete := false
	c := call{verb: "list", vars: new(vars), handle: func(l line) error {
		switch l.kind {
		case "session":
			if l.isListed() { // else it is a directory or a job of the user's with such a name
				found = append(found, parseFound(l))
			}
		case "swept":
			if l.isListed() {
				swept = append(swept, parseSwept(l))
			}
		case "listed":
			complete = true
		}
		return nil
	}}
	if err := c.run(ctx, remote); err != nil {
		return nil, swept, err
	}
	if !complete {
		return nil, swept, &RemoteError{Kind: "protocol", Message: "the login node's answer was cut short"}
	}
	// What was swept was read before its job was cancelled.
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

// parseFound reads one session; its job is squeue's %i|%T|%r|%S|%e|%P|%a|%N.
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
		f.Over = true // or it has not been asked for yet: whoever does so knows
		return f
	}
	f.Over = f.Over || q[1] == "COMPLETING" // what runs of it takes no longer than processes take to die
	f.Job, f.State, f.Partition, f.Account = jobOf(q[0]), q[1], q[5], emptyIfUnset(q[6])
	if f.State == "PENDING" {
		f.Reason, f.Start = ExplainReason(q[2], f.Job), unixTime(q[3])
	} else {
		f.Ends = unixTime(q[4])
	}
	if nodes, err := Hostlist(q[7]); err == nil {
		f.Nodes = nodes
	}
	return f
}

// emptyIfUnset is the empty string for what Slurm prints of something that is not there.
func emptyIfUnset(s string) string {
	if s == "(null)" || s == "N/A" || s == "None" {
		return ""
	}
	return s
}
