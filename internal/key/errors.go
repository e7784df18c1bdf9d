package key

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// SignCommand is the way to a key that is valid for a day.
const SignCommand = "cscs key sign"

// MissingError says that there is no key.
type MissingError struct {
	Looked []string // where, in order, in words fit for a message
	Fix    string   // the command that gets one
}

func (e *MissingError) Error() string {
	if len(e.Looked) == 0 {
		return "find a key: none is configured"
	}
	return "find a key: none at " + strings.Join(e.Looked, ", ")
}

// HomeError says that the user's home directory is not known, where keys are.
type HomeError struct{ Err error }

func (e *HomeError) Error() string { return "find a key: " + e.Err.Error() }
func (e *HomeError) Unwrap() error { return e.Err }

// ExpiredError says that the certificate has run out.
type ExpiredError struct {
	Path  string // of the certificate, or "the agent's certificate …"
	Until time.Time
	Fix   string
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("certificate %s expired at %s", e.Path, e.Until.Format(time.RFC3339))
}

// NotYetValidError says that the certificate's time has not come, which mostly
// means that this machine's clock is slow.
type NotYetValidError struct {
	Path string
	From time.Time
}

func (e *NotYetValidError) Error() string {
	return fmt.Sprintf("certificate %s is not valid before %s (is this machine's clock right?)", e.Path, e.From.Format(time.RFC3339))
}

// UnfitError says that a certificate is good, and no good for what it is needed for here.
type UnfitError struct {
	Path string // of the certificate, or whose it is
	Why  Unfitness
}

// An Unfitness is why.
type Unfitness string

// The reasons. Servers let in nobody by a certificate without principals (sshd_config(5),
// AuthorizedPrincipalsFile); for the others see OpenSSH's PROTOCOL.certkeys.
const (
	NoPrincipals  Unfitness = "is for no user, and lets nobody in"
	NoForwarding  Unfitness = "does not permit port forwarding, without which there is no tunnel"
	ForcedCommand Unfitness = "permits one command alone (force-command), and none of ours"
)

func (e *UnfitError) Error() string { return "the certificate of " + e.Path + " " + string(e.Why) }

// PassphraseError says that an encrypted key stays shut.
type PassphraseError struct {
	Path  string
	Tries int    // wrong passphrases given; 0: nobody could be asked
	Fix   string // the command that gives the key to the agent
	Alone bool   // there is no agent yet that could be given it
	Anew  string // after the last try, the command for who has forgotten it: another key in its place
	Err   error
}

func (e *PassphraseError) Error() string {
	if e.Tries > 0 {
		return fmt.Sprintf("decrypt key %s: wrong passphrase", e.Path)
	}
	return fmt.Sprintf("decrypt key %s: %v", e.Path, e.Err)
}

func (e *PassphraseError) Unwrap() error { return e.Err }

// ErrNoTerminal is why a PassphraseError came about without a question.
var ErrNoTerminal = errors.New("it has a passphrase, and there is no terminal to ask for it")

// UnaskedError says that a passphrase would have to be typed, and nobody can be asked.
type UnaskedError struct {
	Path string // of the key
	Fix  string // the command to come again with, on a terminal
}

func (e *UnaskedError) Error() string {
	return fmt.Sprintf("ask for a passphrase for key %s: there is no terminal to ask on", e.Path)
}

// maxTries is how often a passphrase is asked for, as by ssh (ssh_config(5), NumberOfPasswordPrompts).
const maxTries = 3

// recordFailedTry notes a passphrase that was wrong.
func (e *PassphraseError) recordFailedTry(err error) {
	e.Tries, e.Err = e.Tries+1, err
	if e.Tries == maxTries && isDefaultPath(e.Path) { // another may be for something else, too
		e.Anew = replacementCommand(e.Path)
	}
}

// PermissionsError says that others may read a private key.
type PermissionsError struct {
	Path string
	Mode uint32 // permission bits
	Fix  string
}

func (e *PermissionsError) Error() string {
	return fmt.Sprintf("read key %s: its permissions %#o let others read it", e.Path, e.Mode)
}

// FileError says that a file is not what it should be.
type FileError struct {
	Path  string
	What  string // what is wrong, in words
	Fix   string // a command, where there is one
	Stray bool   // nothing of a key is in it, and no key of ours belongs there: it was named by mistake
	Err   error
}

func (e *FileError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("read key %s: %s: %v", e.Path, e.What, e.Err)
	}
	return fmt.Sprintf("read key %s: %s", e.Path, e.What)
}

func (e *FileError) Unwrap() error { return e.Err }

// AgentError says that the agent, which is to sign, does not answer.
type AgentError struct {
	Socket string
	Err    error
}

// ErrAgentHangs is why an AgentError came about with an agent that is there and says nothing.
var ErrAgentHangs = errors.New("it gives no answer")

func (e *AgentError) Error() string { return fmt.Sprintf("ask agent %s: %v", e.Socket, e.Err) }
func (e *AgentError) Unwrap() error { return e.Err }

// addToAgent is the command that gives a key to the agent: ours, for as long as its
// certificate lives, or for a bare key the one that CSCS's documentation gives.
func addToAgent(path string, certified bool) string {
	if !certified {
		return "ssh-add -t 1d " + shellescape.Quote(path)
	}
	return "cscs key agent" + IdentityFlag(path)
}

// IdentityFlag names the key at path to another command of ours, with a space before it; "" for the
// usual one.
func IdentityFlag(path string) string {
	if isDefaultPath(path) {
		return ""
	}
	return " --identity " + shellescape.Quote(path)
}

// isDefaultPath reports whether the key at path is the one that CSCS's tools make.
func isDefaultPath(path string) bool {
	is, err := DefaultPath()
	if err != nil {
		return false
	}
	path, err = filepath.Abs(path)
	return err == nil && path == is
}
