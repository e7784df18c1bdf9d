// Package problem is the catalogue of errors. For each kind it has the rule that recognises it, the
// message (what happened, and where), the command that fixes it, and the exit code.
//
// Rules recognise an error by its type. If only another program's message tells what happened, a
// rule matches that message, with a comment that says so. No other package matches messages.
package problem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// Exit codes. They are stable, because scripts depend on them.
const (
	OK          = 0   // ended as requested
	Failure     = 1   // any other failure
	Usage       = 2   // the command line, the configuration, an unknown name
	Auth        = 3   // authentication or host key
	Allocation  = 4   // no allocation, or it was lost
	Server      = 5   // the server failed to start, or ended with an error
	Remains     = 6   // something may be left behind
	Interrupted = 130 // interrupted before the server was ready
)

// A Problem is an error in the words for the user.
type Problem struct {
	ID      string // for tests and documentation; stable
	Code    int    // the exit code
	Message string // one line: what happened, and where
	Hint    string // the fix, one line for each step; may be empty
	Fix     string // the part of Hint that can be pasted, usually a command; may be empty
}

// UsageError reports a command line that cannot be carried out.
type UsageError struct {
	Message string
	Hint    string
}

func (e *UsageError) Error() string { return e.Message }

// Usagef returns a UsageError with a formatted message.
func Usagef(format string, args ...any) *UsageError {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

// A rule recognises one kind of error. It reports whether it applies.
type rule func(error) (Problem, bool)

// ruleFor returns a rule for errors of type E, anywhere in err's tree (errors.As).
func ruleFor[E error](explain func(E) Problem) rule {
	return func(err error) (Problem, bool) {
		var e E
		if !errors.As(err, &e) {
			return Problem{}, false
		}
		return explain(e), true
	}
}

// fixedRule returns a rule for errors of type E whose hint does not depend on the error.
func fixedRule[E error](id string, code int, hint, fix string) rule {
	return ruleFor(func(e E) Problem {
		return Problem{ID: id, Code: code, Message: e.Error(), Hint: hint, Fix: fix}
	})
}

// catalogue holds the rules. The first that applies counts. Errors wrap each other, so the most
// specific rules come first.
var catalogue = slices.Concat(
	[]rule{interruptedProblem},
	doctorRules, // before the rules of errors that these wrap
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

// SigningError wraps an error from signing with other flags than cscs key sign has by default. Hints
// that propose that command then repeat the flags.
type SigningError struct {
	Flags string // of cscs key sign
	Err   error
}

func (e *SigningError) Error() string { return e.Err.Error() }
func (e *SigningError) Unwrap() error { return e.Err }

// Of returns the problem for err. The problem of nil has the ID "ok".
func Of(err error) Problem {
	if err == nil {
		return Problem{ID: "ok", Code: OK}
	}
	p := lookupProblem(err)
	var by *SigningError
	if errors.As(err, &by) && by.Flags != "" {
		same := key.SignCommand + " " + by.Flags
		renew := func(s string) string { // do not repeat flags that s has already
			return strings.ReplaceAll(strings.ReplaceAll(s, same, key.SignCommand), key.SignCommand, same)
		}
		p.Hint, p.Fix = renew(p.Hint), renew(p.Fix)
	}
	return p
}

// lookupProblem returns the problem of the first rule that applies.
func lookupProblem(err error) Problem {
	var left *session.TeardownError
	if errors.As(err, &left) { // before all causes
		return teardownProblem(left)
	}
	for _, r := range catalogue {
		if p, ok := r(err); ok {
			return p
		}
	}
	return Problem{ID: "failure", Code: Failure, Message: err.Error()}
}

// At is Of for an error at a cluster. It adds the cluster's name if the message lacks it.
func At(cluster string, err error) Problem {
	p := Of(err)
	if strings.HasPrefix(p.ID, "remote-") && cluster != "" && !strings.Contains(p.Message, cluster) {
		p.Message = cluster + ": " + p.Message
	}
	return p
}

// teardownProblem names the cause of an incomplete teardown, with the hint of that cause.
func teardownProblem(e *session.TeardownError) Problem {
	cause := Of(e.Err)
	var remains *slurm.RemainsError
	if errors.As(e.Err, &remains) { // it reports the same about the job
		cause.Message, cause.Hint = cmp.Or(remains.Message, "Slurm still has it"), ""
	}
	hint := "try again: cscs stop " + strings.TrimPrefix(e.Name, slurm.JobName("")) + "; or by hand: " + e.Command()
	if e.Lease > 0 {
		hint += fmt.Sprintf("; otherwise it ends by itself, at the latest when its lease of %s is over", shortDuration(e.Lease))
	}
	return Problem{ID: "remains", Code: Remains, Message: e.What() + " may still be there: " + cause.Message, Hint: joinHints(cause.Hint, hint)}
}

// timeoutProblem is for any timeout without a rule of its own. It replaces the text of
// context.DeadlineExceeded, which users do not understand.
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

// joinHints joins the lines of a hint and leaves out empty ones.
func joinHints(lines ...string) string {
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), "\n")
}

// shortDuration formats d without units that are zero.
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
