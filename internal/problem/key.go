package problem

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// Hints that several rules use.
const (
	newKey   = "get a new one, valid for 24 hours: " + key.SignCommand
	listKeys = "ls ~/.ssh"
)

var keyRules = []rule{
	ruleFor(func(e *key.MissingError) Problem {
		return Problem{ID: "key-missing", Code: Auth, Message: e.Error(),
			Hint: joinHints("get a key that is signed for 24 hours: "+e.Fix, "or use a key in another file: --identity FILE"), Fix: e.Fix}
	}),
	ruleFor(func(e *key.HalfError) Problem {
		back := "restore it from a copy, or add it to the agent (ssh-add)"
		if e.Link != "" {
			back = "restore the file that the link points to"
		}
		if e.Unasked {
			return Problem{ID: "key-half", Code: Auth, Message: e.Error(),
				Hint: joinHints("if an agent holds it, set SSH_AUTH_SOCK to the socket of that agent", "or "+back)}
		}
		return Problem{ID: "key-half", Code: Auth, Message: e.Error(), Hint: joinHints(back, "or remove the rest and create a new key: "+e.Fix), Fix: e.Fix}
	}),
	ruleFor(func(e *key.ExpiredError) Problem {
		return Problem{ID: "key-expired", Code: Auth,
			Message: fmt.Sprintf("the key has expired: its certificate %s was valid until %s", e.Path, e.Until.Local().Format("Mon 2 Jan 15:04")),
			Hint:    newKey, Fix: key.SignCommand}
	}),
	ruleFor(func(e *key.NotYetValidError) Problem {
		return Problem{ID: "key-not-yet-valid", Code: Auth,
			Message: fmt.Sprintf("the certificate %s is not valid before %s", e.Path, e.From.Local().Format("Mon 2 Jan 15:04")),
			Hint:    "is this machine's clock right? it says " + time.Now().Format("Mon 2 Jan 15:04") + "; set it: " + setClock(runtime.GOOS), Fix: setClock(runtime.GOOS)}
	}),
	ruleFor(func(e *key.UnfitError) Problem {
		id := map[key.Unfitness]string{key.NoPrincipals: "key-no-principals", key.NoForwarding: "key-no-forwarding", key.ForcedCommand: "key-forced-command"}[e.Why]
		return Problem{ID: id, Code: Auth, Message: e.Error(), Hint: newKey, Fix: key.SignCommand}
	}),
	ruleFor(func(e *key.PassphraseError) Problem {
		p := Problem{ID: "key-passphrase", Code: Auth, Message: e.Error()}
		p.Hint, p.Fix = passphraseHint(e)
		return p
	}),
	ruleFor(func(e *key.UnaskedError) Problem {
		return Problem{ID: "key-passphrase", Code: Auth, Message: e.Error(), Hint: "in a terminal: " + e.Fix, Fix: e.Fix}
	}),
	ruleFor(func(e *key.PermissionsError) Problem {
		return Problem{ID: "key-permissions", Code: Auth, Message: e.Error(), Hint: e.Fix, Fix: e.Fix}
	}),
	ruleFor(func(e *key.FileError) Problem {
		if e.Stray {
			return Problem{ID: "key-file", Code: Auth, Message: e.Error(), Hint: "pass the private key, for example --identity ~/.ssh/cscs-key; list the files: " + listKeys, Fix: listKeys}
		}
		return Problem{ID: "key-file", Code: Auth, Message: e.Error(), Hint: e.Fix, Fix: e.Fix}
	}),
	ruleFor(func(e *regular.Error) Problem {
		fix := "ls -l " + shellescape.Quote(e.Path)
		if e.Kind == "a directory" {
			fix = "ls -A " + shellescape.Quote(e.Path)
		}
		return Problem{ID: "no-file", Code: Usage, Message: e.Error(), Hint: "name a file, or move away what is there: " + fix, Fix: fix}
	}),
	ruleFor(func(e *key.AgentError) Problem {
		if errors.Is(e.Err, key.ErrAgentHangs) {
			return Problem{ID: "agent-hangs", Code: Auth, Message: fmt.Sprintf("your authentication agent (%s) does not answer", e.Socket),
				Hint: joinHints(anotherAgent, "then add the key: cscs key agent"), Fix: hintCommand(anotherAgent)}
		}
		return Problem{ID: "agent", Code: Auth,
			Message: fmt.Sprintf("could not open a connection to your authentication agent (%s): %v", e.Socket, e.Err),
			Hint:    joinHints(startAgent, "then add the key: cscs key agent"), Fix: hintCommand(startAgent)}
	}),
}

// anotherKey returns how to get another certificate than one that was refused. While that is valid,
// cscs key sign needs --force.
func anotherKey(inTime bool) (hint, fix string) {
	if inTime {
		return newKey + " --force", key.SignCommand + " --force"
	}
	return newKey, key.SignCommand
}

// passphraseHint returns what helps with a key whose passphrase was not given: an agent, which is
// started first if none runs. Without the passphrase, only a new key helps.
func passphraseHint(e *key.PassphraseError) (hint, fix string) {
	switch {
	case e.Anew != "":
		return joinHints("try again with the right one", "if you have forgotten it, remove the key and create a new one: "+e.Anew), e.Anew
	case e.Tries > 0:
		return joinHints("try again with the right one", "if you have forgotten it, use another key with --identity"), ""
	case e.Fix == "":
		return "run the command in a terminal, which asks for it", ""
	case !e.Alone:
		return "add it to the agent, and enter the passphrase once a day: " + e.Fix, e.Fix
	case runtime.GOOS == "windows": // there the agent is started as administrator
		return joinHints(startAgent, "then add the key: "+e.Fix), hintCommand(startAgent)
	}
	fix = hintCommand(startAgent) + " && " + e.Fix
	return "start an agent, add the key, and enter the passphrase once a day: " + fix, fix
}

// emptyAgent is the command in CSCS's documentation for an agent with too many keys.
const emptyAgent = "ssh-add -D"

// hintCommand returns the command at the end of a hint.
func hintCommand(hint string) string {
	_, command, _ := strings.Cut(hint, ": ")
	return command
}

// setClock returns the command that sets a system's clock from the network.
func setClock(system string) string {
	switch system {
	case "darwin":
		return "sudo sntp -sS time.apple.com"
	case "windows":
		return "w32tm /resync"
	}
	return "sudo timedatectl set-ntp true"
}
