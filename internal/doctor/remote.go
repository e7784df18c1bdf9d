package doctor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// slowShell is how long start-up files may take. Every command of cscs waits for them.
const slowShell = 3 * time.Second

// loginName returns the login node's name for messages.
func (v *diagnosis) loginName() string { return v.target.Hosts[len(v.target.Hosts)-1].Name }

// checkShell checks whether the login node runs the remote half, and how long its start-up files
// take.
func (v *diagnosis) checkShell(ctx context.Context) []finding {
	name := v.loginName()
	// A timeout of its own leaves time to report it.
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	e, err := slurm.Examine(ctx, v.chain)
	v.exam, v.examErr = e, err
	if e.Host == "" {
		return failureFinding(name, err)
	}
	var found []finding
	if e.Before != "" {
		found = append(found, warningFinding(name, newTalkError(name, e.Before))...)
	}
	// Five round trips are not the start-up files': one to open a session, one for the command, and three
	// for the script, which a new connection sends in so many parts (RFC 5681, section 3.1).
	if took := e.Began - 5*v.roundTrip; took > slowShell {
		found = append(found, warningFinding(name, errorf("shell-slow", "the start-up files of the login shell on %s take %s", name, roundDuration(took)))...)
	}
	if e.Startup != nil {
		found = append(found, failureFinding(name, e.Startup)...)
	}
	if len(found) == 0 {
		seen := okFinding(name, fmt.Sprintf("%s on %s runs our commands", e.Shell, e.Host))
		return withFacts(seen, "shell: %s, start: %s", shellKind(e.Shell), roundDuration(e.Began))
	}
	return found
}

// shellKind returns the name of a well-known shell, or "other".
func shellKind(shell string) string {
	if kind := path.Base(shell); slices.Contains([]string{"bash", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh"}, kind) {
		return kind
	}
	return "other"
}

// The differences between two clocks that are reported.
const (
	clockWarning = time.Minute
	clockFailure = 5 * time.Minute // munge(7), and so Slurm, allows this much between its hosts
)

// checkClock compares this machine's clock with the login node's.
func (v *diagnosis) checkClock(context.Context) []finding {
	e, name := v.exam, v.loginName()
	if e.Now.IsZero() {
		return skippedFinding(name, "it did not tell its time")
	}
	// The login node read its clock between these two times of this machine.
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
	case ahead.Abs() >= clockFailure:
		return withFacts(failureFinding(name, err), "ahead: %s", roundDuration(ahead))
	case ahead.Abs() >= clockWarning:
		return withFacts(warningFinding(name, err), "ahead: %s", roundDuration(ahead))
	}
	return okFinding(name, fmt.Sprintf("its clock differs from this machine's by less than %s", (answered.Sub(asked)+ahead.Abs()).Round(100*time.Millisecond)+100*time.Millisecond))
}

// homeFullPercent is the use of a file system from which on it is reported.
const homeFullPercent = 97

// checkHome checks whether the home directory on the login node can be written.
func (v *diagnosis) checkHome(context.Context) []finding {
	e, name := v.exam, v.loginName()
	switch {
	case e.HomeError != "":
		return failureFinding(name, &slurm.RemoteError{Kind: "home", Message: "cannot write in " + e.Home + ": " + e.HomeError})
	case e.HomeUsed >= homeFullPercent:
		return warningFinding(name, errorf("home-full", "the file system of %s is %d%% full", e.Home, e.HomeUsed))
	}
	found := okFinding(name, e.Home+" can be written")
	if e.HomeUsed >= 0 {
		found = withFacts(found, "used: %d %%", e.HomeUsed)
	}
	return found
}

// slurmVersion matches the answer of Slurm's commands to --version. Debian's package adds -wlm to the name.
var slurmVersion = regexp.MustCompile(`^slurm(?:-wlm)? (\d{2}\.\d{2}(?:\.\d{1,2})?(?:-0?(?:rc|pre)\d)?)(?:[^.\d]|$)`)

// slurmRelease returns the release in that answer, without what a site adds to it, or "other": a wrapper may say anything.
func slurmRelease(answer string) string {
	if m := slurmVersion.FindStringSubmatch(answer); m != nil {
		return m[1]
	}
	return "other"
}

// checkSlurm checks whether Slurm is installed and answers.
func (v *diagnosis) checkSlurm(context.Context) []finding {
	e, name := v.exam, v.loginName()
	switch {
	case e.Version == "" && v.examErr != nil:
		return failureFinding(name, v.examErr)
	case e.Silent != "":
		return failureFinding(name, &slurm.SilentError{Message: e.Silent, Where: name})
	case v.examErr != nil:
		return failureFinding(name, v.examErr)
	}
	version := strings.TrimPrefix(strings.TrimPrefix(e.Version, "slurm-wlm "), "slurm ")
	return withFacts(okFinding(name, "Slurm "+version), "version: %s", slurmRelease(e.Version))
}

// checkPartitions checks whether a partition starts jobs.
func (v *diagnosis) checkPartitions(context.Context) []finding {
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
		return failureFinding(v.loginName(), &PartitionError{Where: v.loginName()})
	case down != "":
		return warningFinding(v.loginName(), &PartitionError{Name: down, Where: v.loginName()})
	}
	return withFacts(okFinding(v.loginName(), "up: "+strings.Join(up, ", ")), "up: %d of %d", len(up), len(v.exam.Partitions))
}

// checkAccount checks that jobs have an account.
func (v *diagnosis) checkAccount(context.Context) []finding {
	e, name := v.exam, v.loginName()
	if !e.Accounting {
		return okFinding(name, "Slurm keeps no accounts there")
	}
	var known []string
	for _, a := range e.Accounts {
		if !slices.Contains(known, a.Name) {
			known = append(known, a.Name)
		}
	}
	if len(known) == 0 || v.cfg.Account != "" && !slices.Contains(known, v.cfg.Account) {
		return failureFinding(name, &AccountError{Account: v.cfg.Account, Known: known, Where: name})
	}
	return withFacts(okFinding(name, "yours: "+strings.Join(known, ", ")), "accounts: %d", len(known))
}

// checkSessions checks whether the limits allow another login and another job.
func (v *diagnosis) checkSessions(context.Context) []finding {
	e, name := v.exam, v.loginName()
	var found []finding
	if e.MostLogins > 0 && e.Logins >= e.MostLogins {
		found = append(found, warningFinding(name, newQuotaError("too-many-logins", "login", name, e.Logins, e.MostLogins))...)
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
			found = append(found, warningFinding(name, newQuotaError("quota", "job", "account "+a.Name, jobs, a.MaxSubmit))...)
		} else if a.MaxJobs > 0 && running >= a.MaxJobs {
			found = append(found, warningFinding(name, newQuotaError("quota", "running job", "account "+a.Name, running, a.MaxJobs))...)
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
	seen := okFinding(name, fmt.Sprintf("logins there, including this one: %d%s; jobs: %d, of which sessions: %d", e.Logins, most, len(e.Jobs), ours))
	return withFacts(seen, "logins: %d, jobs: %d, sessions: %d", e.Logins, len(e.Jobs), ours)
}

// checkNode logs in to a node where a job of the user runs.
func (v *diagnosis) checkNode(ctx context.Context) []finding {
	i := slices.IndexFunc(v.exam.Jobs, func(f slurm.Found) bool { return f.State == "RUNNING" && len(f.Nodes) > 0 })
	if i < 0 {
		return skippedFinding("", "no job of yours runs, so there is no node to try")
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
	closed := func(err error) []finding {
		message := fmt.Sprintf("no ssh to %s though job %s runs there: %s", n.Name, j.Job, v.cfg.Explain(err).Message)
		return warningFinding(n.Name, &Error{ID: "node-closed", Message: message, Err: err})
	}
	if err != nil {
		return closed(err)
	}
	var keys []ssh.PublicKey
	for _, line := range n.HostKeys {
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			keys = append(keys, k)
		}
	}
	c, err := v.chain.Extend(ctx, v.target.NodeHop(n.Name, chain.PinnedKeys(keys...)))
	switch {
	case errors.As(err, new(*chain.HostKeyError)):
		return failureFinding(n.Name, err)
	case err != nil:
		return closed(err)
	}
	_ = c.Close()
	return okFinding(n.Name, "it lets you in, where job "+j.Job+" runs")
}
