package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// slowShell is how long start-up files may take; each command of ours pays for them.
const slowShell = 3 * time.Second

// loginName is the login node, as messages call it.
func (v *visit) loginName() string { return v.way.Hosts[len(v.way.Hosts)-1].Name }

// shell: whether the login node runs our commands, and what its start-up files add.
func (v *visit) shell(ctx context.Context) []finding {
	name := v.loginName()
	// So that there is time for words when it hangs.
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	e, err := slurm.Examine(ctx, v.chain)
	v.exam, v.examErr = e, err
	if e.Host == "" {
		return one(failure(name, err))
	}
	var found []finding
	if e.Before != "" {
		lines := strings.Split(e.Before, "\n")
		found = append(found, warning(name, &TalkError{Host: name, Lines: len(lines), First: lines[0]}))
	}
	// What the line takes is none of theirs: to open a session, to have the command begin, and three
	// times for our script, which a connection that has carried little sends in so many parts (RFC 5681 §3.1).
	if took := e.Began - 5*v.trip; took > slowShell {
		found = append(found, warning(name, &SlowShellError{Host: name, Took: took}))
	}
	if e.Startup != nil {
		found = append(found, failure(name, e.Startup))
	}
	if len(found) == 0 {
		return one(ok(name, fmt.Sprintf("%s on %s runs our commands", e.Shell, e.Host)))
	}
	return found
}

// Of two clocks.
const (
	skewed  = time.Minute
	useless = 5 * time.Minute // what munge(7), and so Slurm, allows between its hosts
)

// clock: this machine's, beside the login node's.
func (v *visit) clock(context.Context) []finding {
	e, name := v.exam, v.loginName()
	if e.Now.IsZero() {
		return one(skipped(name, "it did not tell its time"))
	}
	// It looked at its clock at some moment between these two, by ours.
	shift := time.Until(v.cfg.Now())
	asked, answered := e.Asked.Add(shift), e.Answered.Add(shift)
	var ahead time.Duration
	switch {
	case e.Now.Before(asked):
		ahead = asked.Sub(e.Now)
	case e.Now.After(answered):
		ahead = answered.Sub(e.Now)
	}
	err := &ClockError{Ahead: ahead, Of: name}
	switch {
	case ahead.Abs() >= useless:
		return one(failure(name, err))
	case ahead.Abs() >= skewed:
		return one(warning(name, err))
	}
	return one(ok(name, fmt.Sprintf("this machine's clock and its differ by less than %s", (answered.Sub(asked)+ahead.Abs()).Round(100*time.Millisecond)+100*time.Millisecond)))
}

// full is how much of a file system may be used.
const full = 97

// home: whether a session's files could be written there.
func (v *visit) home(context.Context) []finding {
	e, name := v.exam, v.loginName()
	switch {
	case e.HomeError != "":
		return one(failure(name, &slurm.RemoteError{Kind: "home", Message: "cannot write in " + e.Home + ": " + e.HomeError}))
	case e.HomeUsed >= full:
		return one(warning(name, &HomeFullError{Path: e.Home, Used: e.HomeUsed}))
	}
	return one(ok(name, e.Home+" can be written"))
}

// slurm: whether it is there, and answers.
func (v *visit) slurm(context.Context) []finding {
	e, name := v.exam, v.loginName()
	switch {
	case e.Version == "" && v.examErr != nil:
		return one(failure(name, v.examErr))
	case e.Silent != "":
		return one(failure(name, &slurm.SilentError{Message: e.Silent, Where: name}))
	case v.examErr != nil:
		return one(failure(name, v.examErr))
	}
	return one(ok(name, "Slurm "+e.Version))
}

// partitions: whether any of them starts jobs.
func (v *visit) partitions(context.Context) []finding {
	var up []string
	down := ""
	for _, p := range v.exam.Partitions {
		switch {
		case p.Up && p.Nodes > 0:
			s := p.Name
			if p.Default {
				s += " (the default)"
			}
			up = append(up, s)
		case p.Default:
			down = p.Name
		}
	}
	switch {
	case len(up) == 0:
		return one(failure(v.loginName(), &PartitionError{Where: v.loginName()}))
	case down != "":
		return one(warning(v.loginName(), &PartitionError{Name: down, Where: v.loginName()}))
	}
	return one(ok(v.loginName(), "up: "+strings.Join(up, ", ")))
}

// account: to whom jobs are charged.
func (v *visit) account(context.Context) []finding {
	e, name := v.exam, v.loginName()
	if !e.Accounting {
		return one(ok(name, "Slurm keeps no accounts there"))
	}
	var known []string
	for _, a := range e.Accounts {
		if !slices.Contains(known, a.Name) {
			known = append(known, a.Name)
		}
	}
	if len(known) == 0 || v.cfg.Account != "" && !slices.Contains(known, v.cfg.Account) {
		return one(failure(name, &AccountError{Account: v.cfg.Account, Known: known, Where: name}))
	}
	return one(ok(name, "yours: "+strings.Join(known, ", ")))
}

// sessions: whether there is room for another login and another job.
func (v *visit) sessions(context.Context) []finding {
	e, name := v.exam, v.loginName()
	var found []finding
	if e.MostLogins > 0 && e.Logins >= e.MostLogins {
		found = append(found, warning(name, &QuotaError{What: "login", Where: name, Now: e.Logins, Most: e.MostLogins}))
	}
	for _, a := range e.Accounts {
		if v.cfg.Account != "" && a.Name != v.cfg.Account {
			continue
		}
		jobs, running := 0, 0
		for _, j := range e.Jobs {
			if j.Account == a.Name {
				jobs++
				if j.State == "RUNNING" {
					running++
				}
			}
		}
		if a.MaxSubmit > 0 && jobs >= a.MaxSubmit {
			found = append(found, warning(name, &QuotaError{What: "job", Where: "account " + a.Name, Now: jobs, Most: a.MaxSubmit}))
		} else if a.MaxJobs > 0 && running >= a.MaxJobs {
			found = append(found, warning(name, &QuotaError{What: "running job", Where: "account " + a.Name, Now: running, Most: a.MaxJobs}))
		}
	}
	if len(found) > 0 {
		return found
	}
	ours := 0
	for _, j := range e.Jobs {
		if j.ID != "" {
			ours++
		}
	}
	most := ""
	if e.MostLogins > 0 {
		most = fmt.Sprintf(" (at most %d)", e.MostLogins)
	}
	return one(ok(name, fmt.Sprintf("logins there, this one too: %d%s; jobs: %d, of these sessions: %d", e.Logins, most, len(e.Jobs), ours)))
}

// node: ssh to one on which a job of the user's runs.
func (v *visit) node(ctx context.Context) []finding {
	i := slices.IndexFunc(v.exam.Jobs, func(f slurm.Found) bool { return f.State == "RUNNING" && len(f.Nodes) > 0 })
	if i < 0 {
		return one(skipped("", "no job of yours runs, so there is no node to try"))
	}
	j := v.exam.Jobs[i]
	n := slurm.Node{Name: j.Nodes[0]}
	var err error
	if j.ID != "" {
		var r slurm.Runner
		if r, err = slurm.FindRunner(ctx, v.chain, j.ID); r.Up {
			n = r.Node
		}
	}
	if len(n.HostKeys) == 0 {
		n, err = slurm.Find(ctx, v.chain, "", n.Name)
	}
	if err != nil {
		return one(warning(n.Name, &ClosedNodeError{Node: n.Name, Job: j.Job, Why: v.cfg.Explain(err).Message, Err: err}))
	}
	var keys []ssh.PublicKey
	for _, line := range n.HostKeys {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			keys = append(keys, k)
		}
	}
	c, err := v.chain.Extend(ctx, v.way.NodeHop(n.Name, chain.PinnedKeys(keys...)))
	var wrong *chain.HostKeyError
	switch {
	case errors.As(err, &wrong):
		return one(failure(n.Name, err))
	case err != nil:
		return one(warning(n.Name, &ClosedNodeError{Node: n.Name, Job: j.Job, Why: v.cfg.Explain(err).Message, Err: err}))
	}
	_ = c.Close()
	return one(ok(n.Name, "it lets you in, where job "+j.Job+" runs"))
}
