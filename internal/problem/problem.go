// Package problem is the one catalogue of what goes wrong: how it is recognised,
// what is said of it (what happened, and where), the command that mends it, and
// the exit code that follows.
//
// Errors are recognised by their type. Where only the words of another program
// say what happened, they are matched here, at a place that says so, and nowhere else.
package problem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// Exit codes. They are a contract with scripts.
const (
	OK          = 0   // ended as asked
	Failure     = 1   // anything else
	Usage       = 2   // the command line, the configuration, an unknown name
	Auth        = 3   // authentication or host key
	Allocation  = 4   // no allocation, or it was taken away
	Server      = 5   // the server failed to start, or ended with an error
	Remains     = 6   // torn down incompletely
	Interrupted = 130 // before it was ready
)

// A Problem is an error as the user is told it.
type Problem struct {
	ID      string // for tests and for looking it up; never changes
	Code    int    // the exit code
	Message string // one line: what happened, and where
	Hint    string // what mends it; a line for each step; may be empty
	Fix     string // of the hint, what can be pasted: a command, mostly; may be empty
}

// UsageError is a command line that cannot be carried out.
type UsageError struct {
	Message string
	Hint    string
}

func (e *UsageError) Error() string { return e.Message }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) *UsageError {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

// A rule recognises one kind of error.
type rule func(error) (Problem, bool)

// ruleFor is the rule for errors of type E, wherever in the chain of causes.
func ruleFor[E error](explain func(E) Problem) rule {
	return func(err error) (Problem, bool) {
		var e E
		if !errors.As(err, &e) {
			return Problem{}, false
		}
		return explain(e), true
	}
}

// catalogue holds the rules, the first that fits counts: errors wrap each other,
// and what says most comes first.
var catalogue = concatRules(
	[]rule{interruptedProblem},
	doctorRules, // some of them wrap others'
	usageRules,
	signRules,
	keyRules,
	sshRules,
	slurmRules,
	serverRules,
	localRules,
	liveRules,
	[]rule{timeoutProblem, systemProblem},
)

func concatRules(lists ...[]rule) []rule {
	var all []rule
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// SigningError is what came of signing a key otherwise than cscs key sign does by itself: what
// proposes that command has to propose it for the same service and key.
type SigningError struct {
	Flags string // of cscs key sign
	Err   error
}

func (e *SigningError) Error() string { return e.Err.Error() }
func (e *SigningError) Unwrap() error { return e.Err }

// Of explains err. A nil error is no problem.
func Of(err error) Problem {
	if err == nil {
		return Problem{ID: "ok", Code: OK}
	}
	p := lookupProblem(err)
	var by *SigningError
	if errors.As(err, &by) && by.Flags != "" {
		same := key.SignCommand + " " + by.Flags
		renew := func(s string) string { // what has them already keeps them once
			return strings.ReplaceAll(strings.ReplaceAll(s, same, key.SignCommand), key.SignCommand, same)
		}
		p.Hint, p.Fix = renew(p.Hint), renew(p.Fix)
	}
	return p
}

func lookupProblem(err error) Problem {
	var left *session.TeardownError
	if errors.As(err, &left) { // whatever it comes from
		return teardownProblem(left)
	}
	for _, r := range catalogue {
		if p, ok := r(err); ok {
			return p
		}
	}
	return Problem{ID: "failure", Code: Failure, Message: err.Error()}
}

// At is Of for what happened at a cluster, for errors that do not know themselves
// where they arose.
func At(cluster string, err error) Problem {
	p := Of(err)
	if strings.HasPrefix(p.ID, "remote-") && cluster != "" && !strings.Contains(p.Message, cluster) {
		p.Message = cluster + ": " + p.Message
	}
	return p
}

// teardownProblem is told with what stood in the way, and what mends that.
func teardownProblem(e *session.TeardownError) Problem {
	cause := Of(e.Err)
	var remains *slurm.RemainsError
	if errors.As(e.Err, &remains) { // it says the same of the job
		cause.Message, cause.Hint = cmp.Or(remains.Message, "slurm still has it"), ""
	}
	hint := "try again: cscs stop " + strings.TrimPrefix(e.Name, slurm.JobName("")) + "; or by hand: " + e.Command()
	if e.Lease > 0 {
		hint += fmt.Sprintf("; else it ends by itself, at the latest when its lease of %s is over", shortDuration(e.Lease))
	}
	return Problem{ID: "remains", Code: Remains, Message: e.What() + " may still be there: " + cause.Message, Hint: joinHints(cause.Hint, hint)}
}

// timeoutProblem is for what was given up after its time, wherever that was: Go's words for it say
// nothing to anybody.
func timeoutProblem(err error) (Problem, bool) {
	return Problem{ID: "late", Code: Failure, Hint: online,
		Message: strings.ReplaceAll(err.Error(), context.DeadlineExceeded.Error(), "no answer in time")}, errors.Is(err, context.DeadlineExceeded)
}

func interruptedProblem(err error) (Problem, bool) {
	if errors.Is(err, session.ErrInterrupted) || errors.Is(err, session.ErrDetached) || errors.Is(err, session.ErrStopped) || errors.Is(err, context.Canceled) {
		return Problem{ID: "interrupted", Code: Interrupted, Message: "interrupted"}, true
	}
	return Problem{}, false
}

// joinHints joins the lines of a hint, leaving out the empty ones.
func joinHints(lines ...string) string {
	var out []string
	for _, l := range lines {
		if l != "" {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// shortDuration is d without the units that are zero.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
