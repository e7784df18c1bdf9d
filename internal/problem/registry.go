package problem

import (
	"errors"
	"fmt"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/session"
)

var liveRules = []rule{
	ruleFor(func(e *registry.UnknownError) Problem {
		p := Problem{ID: "unknown-session", Code: Usage, Message: e.Error(),
			Hint: "for a session of another machine, give its whole ID and --cluster NAME; list those there: cscs ps --refresh --cluster NAME; logs of ended sessions are kept for 7 days: cscs logs ID --cluster NAME"}
		if len(e.Known) > 0 {
			p.Hint = joinHints("live: "+strings.Join(e.Known, ", "), p.Hint)
		}
		return p
	}),
	ruleFor(func(e *session.NotThereError) Problem {
		p := Problem{ID: "unknown-session", Code: Usage, Message: e.Error(), Hint: "if it has ended, its log is kept for 7 days: cscs logs ID --cluster NAME"}
		if len(e.Known) > 0 {
			p.Hint = joinHints("live there: "+strings.Join(e.Known, ", "), p.Hint)
		}
		return p
	}),
	ruleFor(func(e *session.EndedError) Problem {
		return Problem{ID: "ended", Code: Usage, Message: e.Error(), Hint: "its log is kept there for 7 days: cscs logs " + e.ID + " --cluster " + shellescape.Quote(e.Cluster)}
	}),
	func(err error) (Problem, bool) {
		return Problem{ID: "owner-left", Code: Failure, Message: session.ErrSharingProcessLeft.Error(), Hint: "connect again, over a connection of its own"},
			errors.Is(err, session.ErrSharingProcessLeft)
	},
	fixedRule[*session.NoNodeError]("not-ready", Failure, "cscs ps shows when it has one", ""),
	ruleFor(func(e *registry.AmbiguousError) Problem {
		return Problem{ID: "ambiguous-session", Code: Usage, Message: e.Error(),
			Hint: "name one: " + strings.Join(e.IDs, ", ") + "; cscs ps describes them"}
	}),
	fixedRule[*registry.AttendedError]("attended", Failure, "cscs ps shows where", ""),
	ruleFor(func(e *owndir.Error) Problem {
		p := Problem{ID: "shared-directory", Code: Failure, Message: e.Error()}
		if e.Open {
			p.Fix = "chmod go-w " + shellescape.Quote(e.Dir)
			p.Hint = "remove the write permission of others, if you know what is in it: " + p.Fix
			return p
		}
		p.Fix = "ls -ld " + shellescape.Quote(e.Dir)
		p.Hint = joinHints("show its owner: "+p.Fix, "or keep the files of cscs in another directory: export XDG_STATE_HOME=DIRECTORY")
		return p
	}),
	fixedRule[*owndir.OwnerError]("other-owner", Usage, "or work in the home directory of root: sudo -H", ""),
	fixedRule[*registry.GoneError]("unreachable", Failure, "show its state: cscs ps --refresh", ""),
	ruleFor(func(e *registry.SilentError) Problem {
		return Problem{ID: "silent", Code: Failure, Message: e.Error(),
			Hint: fmt.Sprintf("resume it: fg in its terminal, or kill -CONT %d; or end the session without it: cscs stop %s", e.PID, e.ID)}
	}),
	ruleFor(func(e *registry.UnattendedError) Problem {
		return Problem{ID: "unattended", Code: Failure, Message: e.Error(), Hint: "attach to it first: cscs attach " + e.ID}
	}),
	ruleFor(func(e *registry.TiedError) Problem {
		return Problem{ID: "tied", Code: Usage, Message: e.Error(), Hint: "to queue a session without cscs, start it without --via salloc; end this one with: cscs stop " + e.ID}
	}),
	fixedRule[*registry.NotReadyError]("not-ready", Failure, "", ""),
	ruleFor(func(e *registry.NotLeftError) Problem {
		return Problem{ID: "not-left", Code: Failure, Message: e.Error(), Hint: "its log: cscs logs " + e.ID}
	}),
	ruleFor(func(e *registry.EndedBadlyError) Problem {
		return Problem{ID: "ended-badly", Code: e.Code, Message: e.Error(), Hint: e.Hint}
	}),
}
