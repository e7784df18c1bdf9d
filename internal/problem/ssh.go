package problem

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/forward/chain"
)

var sshRules = []rule{
	ruleFor(hostKeyProblem),
	ruleFor(func(e *chain.KnownHostsError) Problem {
		fix := editCommand(e.File, e.Line)
		return Problem{ID: "known-hosts", Code: Auth, Message: e.Error(),
			Hint: "it revokes a key, but cscs cannot read which; fix or remove the line: " + fix, Fix: fix}
	}),
	ruleFor(func(e *chain.PassedOverError) Problem {
		if e.Line == 0 {
			p := Problem{ID: "known-hosts-file", Code: Auth, Message: e.Error()}
			p.Hint, p.Fix = unreadableHint(e.File, e.Err)
			return p
		}
		fix := editCommand(e.File, e.Line)
		return Problem{ID: "known-hosts-line", Code: Failure, Message: e.Error(), Hint: "the other lines are used; fix or remove it: " + fix, Fix: fix}
	}),
	ruleFor(authProblem),
	fixedRule[*chain.SignError]("key-no-signature", Auth,
		"the agent may be locked (unlock it: ssh-add -X), or may have asked for a confirmation; ssh-add -l lists its keys", "ssh-add -X"),
	ruleFor(dialProblem),
	ruleFor(openProblem),
	fixedRule[*chain.LostError]("connection-lost", Failure, "", ""),
}

// hostKeyProblem explains why a host key was not accepted, and how to make it known if that is safe.
func hostKeyProblem(e *chain.HostKeyError) Problem {
	p := Problem{ID: "host-key-" + string(e.Kind), Code: Auth, Message: e.Error()}
	switch e.Kind {
	case chain.HostKeyUnknown:
		p.Message = fmt.Sprintf("the host key of %s is not known: %s %s", e.Host, e.KeyType, e.Fingerprint)
		switch {
		case e.Unread != nil:
			p.Message = fmt.Sprintf("cannot check whether the host key of %s is known: %s: %v", e.Host, e.Unread.File, e.Unread.Err)
			p.Hint, p.Fix = unreadableHint(e.Unread.File, e.Unread.Err)
		case e.Line == "" || e.File == "":
		case keepsNothing(e.File):
			p.Hint = joinHints("run cscs in a terminal, which asks each time: "+e.File+" keeps no host keys",
				"to keep them, set UserKnownHostsFile in ~/.ssh/config to a file")
		default:
			p.Fix = appendLine(e.File, e.Line)
			p.Hint = joinHints("run cscs in a terminal, which asks; or, if this fingerprint is right, add the key:", p.Fix)
		}
	case chain.HostKeyDeclined:
		p.Message = fmt.Sprintf("the host key of %s was not confirmed", e.Host)
	case chain.HostKeyChanged:
		p.Message = fmt.Sprintf("the host key of %s has changed: it is now %s %s", e.Host, e.KeyType, e.Fingerprint)
		if e.LineNumber > 0 {
			p.Message += fmt.Sprintf("; %s:%d has another one", e.File, e.LineNumber)
		}
		p.Hint = "someone could intercept the connection: ask the site whether it has new keys"
		if e.Fix != "" {
			p.Hint, p.Fix = joinHints(p.Hint, "only if it has, remove the old one: "+e.Fix), e.Fix
		}
	case chain.HostKeyRevoked:
		p.Hint = "known_hosts marks it as revoked: ask the site"
		if e.LineNumber > 0 && e.File != "" {
			p.Fix = editCommand(e.File, e.LineNumber)
			p.Hint = joinHints(p.Hint, "only if that is wrong, remove the line: "+p.Fix)
		}
	case chain.HostKeyBadCert:
		p.Hint = "is this machine's clock right? if it is, ask the site"
	}
	return p
}

// authProblem tells from sshd's answers and messages why a login was refused.
func authProblem(e *chain.AuthError) Problem {
	p := Problem{ID: "auth-refused", Code: Auth}
	said := lastLine(e.Banner)
	another, sign := anotherKey(e.InTime)
	switch {
	// The message of pam_slurm_adopt(8), in a banner or with the disconnect.
	case strings.Contains(e.Banner+e.Disconnect, "pam_slurm_adopt"):
		return Problem{ID: "no-job-on-node", Code: Allocation,
			Message: fmt.Sprintf("%s admits %s only while a job runs there", e.Hop, e.User),
			Hint:    "confirm that the node matches your current Slurm allocation: squeue --me", Fix: "squeue --me"}
	// The message of sshd's disconnect (auth.c, auth_maxtries_exceeded).
	case strings.Contains(strings.ToLower(e.Disconnect), "too many authentication failures"):
		p.ID = "auth-too-many"
		p.Message = fmt.Sprintf("%s refused %s: too many authentication failures", e.Hop, e.User)
		p.Hint, p.Fix = tooManyKeys, emptyAgent
		return p
	case e.NeedsAnswer() && e.Answered:
		p.ID = "auth-second-factor"
		p.Message = fmt.Sprintf("%s accepted the key of %s, but not the second factor", e.Hop, e.User)
		p.Hint, p.Fix = joinHints("was the code still valid? run the command again",
			"verify your SSH MFA to CSCS, and that your SSH agent is correctly set up and loaded with your keys: ssh-add -l",
			another), sign
	case e.NeedsAnswer():
		p.ID = "auth-second-factor"
		p.Message = fmt.Sprintf("%s accepted the key of %s and asks for a second factor, which was not given", e.Hop, e.User)
		p.Hint = joinHints("run the command on a terminal, where cscs asks for it (cscs doctor does not)",
			"or let ssh log in and share its connection: ControlMaster and ControlPath in ~/.ssh/config")
		return p
	case e.Partial:
		p.Message = fmt.Sprintf("%s accepted the key of %s and asks for more: %s", e.Hop, e.User, strings.Join(e.Methods, ", "))
		// cscs could ask for the answers, but a user would have to give them at every connection.
		p.Hint, p.Fix = joinHints("cscs logs in with a signed key alone: "+another,
			"verify your SSH MFA to CSCS, and that your SSH agent is correctly set up and loaded with your keys: ssh-add -l"), sign
	// The message of pam_limits(8) for maxlogins.
	case strings.Contains(strings.ToLower(e.Banner+e.Disconnect), "too many logins"):
		p.ID = "too-many-logins"
		p.Message = fmt.Sprintf("%s refused %s: this user has too many logins", e.Hop, e.User)
		p.Hint = "log out elsewhere; sessions of cscs on one machine share one login: cscs ps"
		return p
	case e.Accepted:
		p.Message = fmt.Sprintf("%s accepted the key of %s, but refused the account", e.Hop, e.User)
		p.Hint = "is the user name right (--user), and does the account have access to this cluster?"
	default:
		p.Message = fmt.Sprintf("permission denied by %s for %s with %s", e.Hop, e.User, e.Offered)
		why := "the key may have expired, or its certificate may be missing: "
		if e.InTime {
			why = "its certificate has not expired, but another authority may have signed it, or it may be valid only from other addresses (source-address): "
		}
		p.Hint, p.Fix = joinHints(why+another, "or your user name there is another one: --user NAME"), sign
		if len(e.Principals) > 0 && !slices.Contains(e.Principals, e.User) {
			p.ID = "key-principal"
			p.Message = fmt.Sprintf("permission denied by %s for %s: the certificate is for %s", e.Hop, e.User, strings.Join(e.Principals, ", "))
			p.Hint, p.Fix = asPrincipal(e.Principals, e.InTime), "--user "+shellescape.Quote(e.Principals[0])
		}
	}
	if said != "" {
		p.Message += "; it said: " + said
	}
	return p
}

const tooManyKeys = "you may have too many keys in your ssh agent; flush them all: " + emptyAgent

// asPrincipal returns the hint for a certificate that is valid for other users only.
func asPrincipal(principals []string, inTime bool) string {
	_, sign := anotherKey(inTime)
	return "if ~/.ssh/config has the wrong User, change it; or log in as the user of the certificate: --user " + shellescape.Quote(principals[0]) + ", or get one for yourself: " + sign
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// dialProblem explains why a host cannot be reached.
func dialProblem(e *chain.DialError) Problem {
	var refused *chain.OpenError
	if errors.As(e.Err, &refused) {
		return openProblem(refused)
	}
	p := Problem{ID: "unreachable", Code: Failure, Message: fmt.Sprintf("cannot reach %s (%s): %v", e.Hop, e.Addr, e.Err)}
	switch words, id, hint := explainNetwork(e); {
	case e.Said != "":
		p.ID, p.Message = "not-ssh", fmt.Sprintf("%s (%s) does not speak ssh; it said: %s", e.Hop, e.Addr, e.Said)
		p.Hint = "it may be overloaded, or closed for maintenance: try again in a minute"
	case id != "":
		p.ID, p.Message, p.Hint = id, fmt.Sprintf("cannot reach %s (%s): %s", e.Hop, e.Addr, words), hint
	}
	return p
}

// openProblem explains why a host refused to open a channel.
func openProblem(e *chain.OpenError) Problem {
	why := e.Reason
	if e.Message != "" && e.Message != e.Reason {
		why = e.Message
	}
	p := Problem{ID: "hop-refused", Code: Failure, Message: fmt.Sprintf("%s cannot reach %s: %s", e.Hop, e.Addr, why)}
	if e.Addr == "session" {
		p.Message = fmt.Sprintf("%s refuses to run commands: %s", e.Hop, why)
	}
	// The reasons of RFC 4254, section 5.1, as x/crypto/ssh prints them.
	switch e.Reason {
	case "administratively prohibited":
		p.Hint = "the key's certificate may not permit port forwarding, or the host does not: ssh -v shows which"
	case "connect failed":
		p.Hint = "is the host up, and its name right? a site that is in maintenance answers like this"
	}
	return p
}
