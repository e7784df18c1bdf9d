package problem

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"os"
	"runtime"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/slurm"
)

// doctorRules are for errors that only the doctor reports. Errors that commands meet too have the
// rules of those commands.
var doctorRules = []rule{
	ruleFor(func(e *doctor.ModeError) Problem {
		return Problem{ID: "file-mode", Code: Failure, Message: e.Error(), Hint: "remove the write permission of other users: " + e.Fix, Fix: e.Fix}
	}),
	ruleFor(func(e *doctor.UnwritableError) Problem {
		if e.IsSSH {
			hint, fix := unwritableHint(e.Path, e.Err)
			return Problem{ID: "ssh-dir", Code: Failure, Message: e.Error() + ": cscs can store no signed key and no host key there", Hint: hint, Fix: fix}
		}
		p := Problem{ID: "state-dir", Code: Failure, Message: e.Error() + ": cscs ps and cscs stop would not find your sessions"}
		at, info := nearestExisting(e.Path)
		if isAny(e.Err, readOnly) || info != nil && !isMine(info) {
			p.Fix = "export XDG_STATE_HOME=$(mktemp -d)"
			p.Hint = "keep such files in another directory, set in each terminal: " + p.Fix
			return p
		}
		if info != nil && !info.IsDir() && os.Getenv("XDG_STATE_HOME") != "" {
			p.Fix = "unset XDG_STATE_HOME"
			p.Hint = "XDG_STATE_HOME should name a directory; unset it: " + p.Fix
			return p
		}
		if p.Hint, p.Fix = unwritableHint(at, e.Err); p.Hint == "" {
			p.Fix = "ls -ld " + shellescape.Quote(at)
			p.Hint = joinHints("see what is there: "+p.Fix, "or keep such files in another directory: export XDG_STATE_HOME=DIRECTORY")
		}
		return p
	}),
	ruleFor(func(e *doctor.ClockError) Problem {
		fix := setClock(runtime.GOOS)
		return Problem{ID: "clock", Code: Auth, Message: e.Error(), Hint: "whether a certificate is valid depends on the clock; set it from the network: " + fix, Fix: fix}
	}),
	ruleFor(func(e *doctor.ShutKeyError) Problem {
		p := Problem{ID: "key-passphrase", Code: Auth, Message: e.Error()}
		if p.Hint, p.Fix = passphraseHint(e.Err); e.Locked && e.Err.Anew == "" && p.Fix != "" {
			p.Fix = unlock + "; " + p.Fix
			p.Hint = "unlock the agent, if it is locked, and add the key: " + p.Fix
		}
		return p
	}),
	ruleFor(func(e *doctor.PrincipalError) Problem {
		return Problem{ID: "key-principal", Code: Auth, Message: e.Error(), Hint: asPrincipal(e.For, true), Fix: "--user " + shellescape.Quote(e.For[0])}
	}),
	ruleFor(func(e *doctor.ManyKeysError) Problem {
		p := Problem{ID: "auth-too-many", Code: Auth, Message: e.Error(), Hint: tooManyKeys, Fix: emptyAgent}
		if len(e.Only) > 0 {
			p.Fix = keepInAgent(e.Only)
			p.Hint = "you may have too many keys in your ssh agent; only the agent has the chosen key, so remove all others: " + p.Fix
		} else {
			p.Hint = joinHints(p.Hint, "or make ssh offer only the chosen key: cscs ssh-config --install")
		}
		return p
	}),
	ruleFor(func(e *doctor.FamilyError) Problem {
		family := "inet"
		if e.Other == "IPv6" {
			family = "inet6"
		}
		fix := fmt.Sprintf("printf '\\nMatch originalhost %s\\n    AddressFamily %s\\n' >>~/.ssh/config", e.Asked, family)
		return Problem{ID: "ip-family", Code: Failure, Message: e.Error(), Hint: "ssh tries both; to use only " + e.Other + ": " + fix, Fix: fix}
	}),
	ruleFor(func(e *slurm.SilentError) Problem {
		return Problem{ID: "slurm-silent", Code: Allocation, Message: e.Error(),
			Hint: "it may be in maintenance: see the site's status page; when it answers again, on " + e.Where + ": scontrol ping", Fix: "scontrol ping"}
	}),
	ruleFor(func(e *doctor.PartitionError) Problem {
		p := Problem{ID: "partition", Code: Allocation, Message: e.Error(), Hint: "list those that are up, on " + e.Where + ": sinfo -s", Fix: "sinfo -s"}
		if e.Name != "" {
			p.Hint = "choose another with --partition; list those that are up, on " + e.Where + ": sinfo -s"
		}
		return p
	}),
	ruleFor(func(e *doctor.AccountError) Problem {
		p := Problem{ID: "account", Code: Allocation, Message: e.Error(),
			Hint: "ask your project's PI whether the project has access to this cluster; list your accounts in Slurm, on " + e.Where + ": sacctmgr show associations user=$USER", Fix: "sacctmgr show associations user=$USER"}
		if len(e.Known) > 0 {
			p.Hint, p.Fix = accountHint(e.Known), accountOption(e.Known[0])
		}
		return p
	}),
	ruleFor(func(e *doctor.Error) Problem {
		p := checkProblems[e.ID]
		p.ID, p.Code, p.Message = e.ID, cmp.Or(p.Code, Failure), e.Message
		return p
	}),
}

// checkProblems are the problems of a doctor.Error, by ID, without the message.
var checkProblems = map[string]Problem{
	"key-bare":     {Code: Auth, Hint: "CSCS accepts only signed keys; get one: " + key.SignCommand, Fix: key.SignCommand},
	"key-expires":  {Code: Auth, Hint: newKey, Fix: key.SignCommand},
	"agent-locked": {Code: Auth, Hint: "if it is locked, unlock it: " + unlock, Fix: unlock},
	"shell-talks": {Code: Failure, Fix: quietShell,
		Hint: "make ~/.bashrc there print nothing in non-interactive shells, with this as its first line: " + quietShell},
	"shell-slow": {Code: Failure, Fix: quietShell,
		Hint: "each command of cscs waits for them; make ~/.bashrc there do nothing in non-interactive shells, with this as its first line: " + quietShell},
	"home-full": {Code: Failure, Hint: "list what uses the space, on the cluster: " + diskUsageCommand, Fix: diskUsageCommand},
	"quota": {Code: Allocation, Fix: "squeue --me",
		Hint: "end what you do not need, with cscs stop or scancel; list your jobs on the cluster: squeue --me"},
	"too-many-logins": {Code: Auth, Fix: "cscs ps",
		Hint: "log out elsewhere; list the logins there: who; sessions of cscs on one machine share one login: cscs ps"},
	"node-closed": {Code: Failure,
		Hint: "sessions use a step of their job instead, which is slower; for cscs tunnel, ask the site to allow ssh to nodes where you have a job (pam_slurm_adopt)"},
	"overtime": {Code: Failure, Hint: "try again; if it persists, run the step by hand"},
}

// unlock asks for the password with which the agent was locked.
const unlock = "ssh-add -X"

// keepInAgent returns a command that removes all keys but these from the agent. It recognises a key
// by the end of its line, which is part of the key or of its certificate's signature.
func keepInAgent(keys []ssh.PublicKey) string {
	command := "ssh-add -L | grep -vF"
	for _, k := range keys {
		text := base64.StdEncoding.EncodeToString(k.Marshal())
		command += " -e " + shellescape.Quote(text[max(0, len(text)-24):])
	}
	return command + " | ssh-add -d -"
}
