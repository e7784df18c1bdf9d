package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/site"
)

// importKey is for the older signing service, which has a web page too.
const importKey = "or get a key in the browser and import it: cscs key import"

var signRules = []rule{
	ruleFor(signInProblem),
	ruleFor(func(e *service.QuotaError) Problem {
		return Problem{ID: "sign-quota", Code: Auth,
			Message: fmt.Sprintf("%s signs no more keys for you today: %s", e.Host, e.Message),
			Hint: joinHints("a service signs a few keys a day (CSCS: five), and those that are still valid count; list them: cscs key list",
				"a revoked key no longer counts: cscs key revoke SERIAL")}
	}),
	ruleFor(func(e *service.BusyError) Problem {
		hint := "try again in a minute"
		if e.After > 0 {
			hint = "try again in " + shortDuration(e.After.Round(time.Second))
		}
		return Problem{ID: "sign-too-often", Code: Auth, Message: fmt.Sprintf("%s was asked too often to %s", e.Host, e.Op), Hint: hint}
	}),
	ruleFor(func(e *service.RefusedError) Problem {
		if e.Status == 404 && strings.Contains(e.Op, "revoke") {
			return Problem{ID: "unknown-serial", Code: Usage, Message: e.Error(), Hint: "list them: cscs key list"}
		}
		return Problem{ID: "sign-refused", Code: Auth, Message: e.Error(), Hint: refusedHint(e)}
	}),
	ruleFor(func(e *service.AnswerError) Problem {
		return Problem{ID: "sign-answer", Code: Failure, Message: fmt.Sprintf("%s does not answer as a key service does: %s", e.Host, e.What),
			Hint: "does your network require a sign-in page in the browser? otherwise the service may have changed: check for a newer cscs"}
	}),
	ruleFor(func(e *service.DownError) Problem {
		p := Problem{ID: "sign-down", Code: Failure, Message: fmt.Sprintf("cannot ask %s to %s: %v", e.Host, e.Op, e.Err), Hint: "try again in a minute; your key is unchanged"}
		if words, id, hint := explainNetwork(e.Err); id != "" {
			p.Message, p.Hint = fmt.Sprintf("cannot ask %s to %s: %s", e.Host, e.Op, words), hint
		}
		return p
	}),
	ruleFor(func(e *service.InputError) Problem {
		return Problem{ID: "sign-input", Code: Usage, Message: e.Error(), Hint: "nothing was sent; try again: " + key.SignCommand}
	}),
	ruleFor(func(e *signing.CertificateError) Problem {
		p := Problem{ID: "sign-certificate", Code: Failure, Message: e.Error() + "; your key is unchanged", Hint: "try again: " + key.SignCommand}
		if errors.As(e.Err, new(*key.NotYetValidError)) || errors.As(e.Err, new(*key.ExpiredError)) {
			p.Hint = "is this machine's clock right? it says " + time.Now().Format("Mon 2 Jan 15:04")
		}
		return p
	}),
	ruleFor(func(e *signing.WriteError) Problem {
		p := Problem{ID: "key-write", Code: Failure, Message: e.Error()}
		if isAny(e.Err, full) {
			p.ID = "disk-full"
		}
		p.Hint, p.Fix = unwritableHint(filepath.Dir(e.Path), e.Err)
		return p
	}),
	ruleFor(func(e *signing.ReplaceError) Problem {
		if e.Own != "" {
			fix := "cscs key import " + shellescape.Quote(e.From) + " --identity " + shellescape.Quote(e.Own)
			return Problem{ID: "key-replace", Code: Usage, Message: e.Error(), Hint: "put the certificate next to its own key: " + fix, Fix: fix}
		}
		if e.Kept != "" {
			fix := "--identity " + shellescape.Quote(e.Kept)
			return Problem{ID: "key-replace", Code: Usage, Message: e.Error(), Hint: "the new key is kept; to use it: " + fix, Fix: fix}
		}
		away := "mv -i " + shellescape.Quote(e.Path) + " " + shellescape.Quote(e.Path+".away")
		return Problem{ID: "key-replace", Code: Usage, Message: e.Error(), Hint: "choose another file with --identity, or move this one away first: " + away, Fix: away}
	}),
	fixedRule[*signing.BusyError]("sign-busy", Failure, "finish or end the other one first", ""),
	fixedRule[*signing.NothingError]("import-nothing", Auth, "pass the private key, with its certificate next to it: cscs key import FILE", ""),
	fixedRule[*signing.SeveralError]("import-several", Usage, "pass the private key that you mean: cscs key import FILE", ""),
	fixedRule[*key.UncertifiedError]("key-uncertified", Auth, "get it signed for 24 hours: "+key.SignCommand, key.SignCommand),
	fixedRule[*key.NoAgentError]("agent-none", Auth, joinHints(startAgent, "then add the key: cscs key agent"), hintCommand(startAgent)),
	fixedRule[*key.AgentRefusedError]("agent-refused", Auth, "if it is locked, unlock it: "+unlock, unlock),
	ruleFor(func(e *site.UnknownSigningError) Problem {
		return Problem{ID: "unknown-signing", Code: Usage, Message: e.Error(),
			Hint: joinHints("known: "+strings.Join(e.Known, ", "), "add any other as a [signing.NAME] in config.toml")}
	}),
}

// unwritableHint returns how to make a directory writable, given the error of a write there. It
// returns "" if the cause is unknown.
func unwritableHint(dir string, err error) (hint, fix string) {
	q := shellescape.Quote(dir)
	info, statErr := os.Stat(dir)
	switch {
	case isAny(err, full):
		fix = "df -h " + q
		return "free some space: " + fix, fix
	case isAny(err, readOnly):
		fix = "findmnt -T " + q
		return "its file system is read-only: " + fix, fix
	case statErr == nil && !info.IsDir():
		fix = "mv -i " + q + " " + shellescape.Quote(dir+".away")
		return "it should be a directory; move it away: " + fix, fix
	case errors.Is(err, os.ErrPermission) && errors.Is(statErr, fs.ErrNotExist):
		fix = "mkdir -p " + q
		return "create the directory first, with the permissions that it needs, or choose another file: " + fix, fix
	case errors.Is(err, os.ErrPermission) && statErr == nil && !isMine(info):
		fix = "ls -ld " + q
		return "it belongs to another user; use a directory of your own: " + fix, fix
	case errors.Is(err, os.ErrPermission):
		fix = "chmod u+rwx " + q
		return "give yourself write permission: " + fix, fix
	}
	return "", ""
}

func signInProblem(e *service.SignInError) Problem {
	p := Problem{ID: "sign-in", Code: Auth, Message: e.Error(), Hint: "try again: " + key.SignCommand}
	switch e.Why {
	case service.SignInPort:
		p.Hint = "another program listens there (another cscs that signs a key?); sign in without that port: " + key.SignCommand + " --headless"
	case service.SignInTyped: // which no other device can do
		p.Hint = joinHints("in a terminal: "+key.SignCommand, importKey)
	case service.SignInNobody, service.SignInDropped:
		p.Hint = joinHints("in a terminal: "+key.SignCommand, "on another device: "+key.SignCommand+" --headless", "in a program: with a service account's key in CSCS_API_KEY")
	}
	return p
}

func refusedHint(e *service.RefusedError) string {
	switch {
	case e.Status == 401 && strings.Contains(e.Op, "service account"):
		return "is CSCS_API_KEY right and still valid? to sign in yourself: env -u CSCS_API_KEY " + key.SignCommand
	case e.Status == 401 && strings.Contains(e.Op, "signed key"):
		return joinHints("are name and password right, and was the code still valid? try again: "+key.SignCommand, importKey)
	case e.Status == 401:
		return "sign in again: " + key.SignCommand
	}
	return ""
}
