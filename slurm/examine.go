package slurm

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// An Examination describes a login node, the home directory there and Slurm.
type Examination struct {
	// Before is what the login shell's start-up files printed before our command ran. Began is the
	// time that they took, including a round trip.
	Before string
	Began  time.Duration

	Host, User, Shell string
	Now               time.Time // the login node's time
	Asked, Answered   time.Time // the client's times before and after Now

	// Startup reports what keeps a login shell from finishing its start-up files; nil: nothing, as
	// far as is known.
	Startup *LoginShellError

	Home      string
	HomeUsed  int    // percent of its file system; -1: unknown
	HomeError string // why files cannot be written there; "" if they can

	Logins     int // of the user on that host
	MostLogins int // the limit on Logins; 0: none is configured

	Version    string // what squeue says: slurm 25.05.9
	Silent     string // why slurmctld does not answer, in the words of Slurm's commands; "" if it does
	Partitions []Partition
	Jobs       []Found // the user's, with Job, State, Reason, Nodes, Partition; ID if its name is a session's
	Accounting bool    // Slurm's accounting answers
	Accounts   []Account
}

// A Partition is a partition of Slurm's.
type Partition struct {
	Name    string
	Default bool
	Up      bool
	Limit   string // the time limit in Slurm's form
	Nodes   int    // number of nodes that are not down or drained; in an error (parseOffer), of all nodes
	Memory  int    // of the largest node, in MiB; 0: unknown
}

// An Account is an account of the user's.
type Account struct {
	Name               string
	MaxJobs, MaxSubmit int // maximum of running jobs, and of running or pending jobs; 0: no limit
}

// Examine asks a login node for an Examination. If it returns an error, the Examination holds what
// the node reported before.
//
// Errors: *RemoteError (of kind "hang" if the login shell had not run our command when ctx ended),
// the error of the connection, the cause of ctx.
func Examine(ctx context.Context, remote Remote) (*Examination, error) {
	e := &Examination{Asked: time.Now(), HomeUsed: -1}
	began := false
	c := call{verb: "examine", vars: new(vars), handle: func(l line) error {
		began = true
		e.addLine(l)
		return nil
	}}
	c.tap = func(to io.Writer) io.Writer { return &preambleWriter{to: to, e: e} }
	err := c.runToEnd(ctx, remote, "examined")
	if err != nil && ctx.Err() != nil && !began {
		err = ShellHangs(time.Since(e.Asked), e.Before)
	}
	return e, err
}

// A preambleWriter passes everything on to another writer. It records in e what the host printed
// before the first line of the answer, and when that line came.
type preambleWriter struct {
	to     io.Writer
	e      *Examination
	passed bool
	head   strings.Builder
}

// Write searches the first 64 KiB for the marker, and passes p on.
func (b *preambleWriter) Write(p []byte) (int, error) {
	if !b.passed && b.head.Len() < 64<<10 {
		b.head.Write(p)
		// The marker's line begins with a newline, see 99-main.sh.
		if before, _, found := strings.Cut(b.head.String(), "\n"+marker); found {
			b.passed = true
			b.e.Before, b.e.Began = strings.TrimSpace(before), time.Since(b.e.Asked)
		} else {
			b.e.Before = strings.TrimSpace(b.head.String())
		}
	}
	return b.to.Write(p)
}

// addLine records one line of the answer.
func (e *Examination) addLine(l line) {
	answer := l.get("answer")
	switch l.kind {
	case "host":
		e.Host, e.User, e.Shell, e.Answered = l.get("host"), l.get("user"), l.get("shell"), time.Now()
		if ns := l.getInt("now"); ns > 0 {
			e.Now = time.Unix(0, ns)
		}
	case "home":
		e.Home, e.HomeError = l.get("path"), l.get("error")
		if n, err := strconv.Atoi(l.get("used")); err == nil {
			e.HomeUsed = n
		}
	case "startup":
		e.Startup = loginShellError(l)
	case "logins":
		e.Logins, e.MostLogins = int(l.getInt("now")), int(l.getInt("most"))
	case "slurm":
		e.Version = l.get("version")
	case "answered":
		failed := l.get("code") != "0"
		switch {
		case l.get("by") == "sacctmgr":
			e.Accounting = !failed
		case failed && e.Silent == "":
			e.Silent = l.get("by") + " failed"
			if l.get("code") == "124" { // timeout(1)
				e.Silent = l.get("by") + " did not answer"
			}
		}
	case "partition":
		if p, ok := parsePartition(answer); ok {
			e.Partitions = addPartition(e.Partitions, p)
		} else if e.Silent != "" {
			e.Silent = cleanMessage(stripProgram(answer))
		}
	case "job":
		e.addJob(answer)
	case "account":
		if a, ok := parseAccount(answer); ok && e.Accounting {
			e.Accounts = append(e.Accounts, a)
		}
	}
}

// stripProgram removes the prefixes that Slurm's commands put before their messages.
func stripProgram(s string) string {
	for _, p := range []string{"sinfo: ", "squeue: ", "slurm_load_partitions: ", "slurm_load_jobs error: "} {
		s = strings.TrimPrefix(s, p)
	}
	return s
}

// parsePartition parses a line of sinfo's %P|%a|%l|%D|%T.
func parsePartition(s string) (p Partition, ok bool) {
	p, state, ok := cutPartition(s)
	state = strings.TrimRight(state, "*~#!%$@^-+")
	if slices.Contains([]string{"down", "drained", "draining", "fail", "failing", "unknown"}, state) {
		p.Nodes = 0
	}
	return p, ok
}

// addJob adds the job of a line of squeue's %i|%T|%r|%S|%e|%P|%a|%N|%j. A job with the name of a
// session gets its ID. The line does not show whether that session exists.
func (e *Examination) addJob(s string) {
	fields := strings.SplitN(s, "|", 9)
	if len(fields) != 9 {
		return
	}
	f := parseFound(line{kind: "session", fields: []string{"job=" + strings.Join(fields[:8], "|")}})
	if id, ok := strings.CutPrefix(fields[8], JobName("")); ok && sessionid.IsID(id) {
		f.ID = id
	}
	e.Jobs = append(e.Jobs, f)
}

// parseAccount parses a line of sacctmgr's account|maxjobs|maxsubmit.
func parseAccount(s string) (a Account, ok bool) {
	f := strings.Split(s, "|")
	if len(f) != 3 || f[0] == "" {
		return a, false
	}
	limit := func(s string) int { n, _ := strconv.Atoi(s); return max(n, 0) }
	return Account{Name: f[0], MaxJobs: limit(f[1]), MaxSubmit: limit(f[2])}, true
}
