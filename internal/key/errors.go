package key

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// SignCommand is the command that gets a key that is valid for a day.
const SignCommand = "cscs key sign"

// MissingError reports that no key was found.
type MissingError struct {
	Looked []string // the places, in order, in words fit for a message
	Fix    string   // the command that gets one
}

func (e *MissingError) Error() string {
	if len(e.Looked) == 0 {
		return "find a key: none is configured"
	}
	return "find a key: none at " + strings.Join(e.Looked, ", ")
}

// HomeError reports that the home directory, which contains the keys, is not known.
type HomeError struct{ Err error }

func (e *HomeError) Error() string { return "find a key: " + e.Err.Error() }
func (e *HomeError) Unwrap() error { return e.Err }

// ExpiredError reports that the certificate has expired.
type ExpiredError struct {
	Path  string // of the certificate, or "the agent's certificate …"
	Until time.Time
	Fix   string
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("certificate %s expired at %s", e.Path, e.Until.Format(time.RFC3339))
}

// NotYetValidError reports that the certificate is not valid yet. The usual cause is that this
// machine's clock is slow.
type NotYetValidError struct {
	Path string
	From time.Time
}

func (e *NotYetValidError) Error() string {
	return fmt.Sprintf("certificate %s is not valid before %s (is this machine's clock right?)", e.Path, e.From.Format(time.RFC3339))
}

// UnfitError reports a certificate that is in its time but cannot open a tunnel.
type UnfitError struct {
	Path string // of the key, or its name
	Why  Unfitness
}

// An Unfitness is the reason of an UnfitError.
type Unfitness string

// The reasons. No server admits a certificate without principals (sshd_config(5),
// AuthorizedPrincipalsFile). For the others see OpenSSH's PROTOCOL.certkeys.
const (
	NoPrincipals  Unfitness = "is for no user, so no server accepts it"
	NoForwarding  Unfitness = "does not permit port forwarding, without which there is no tunnel"
	ForcedCommand Unfitness = "permits one command alone (force-command), and none of ours"
)

func (e *UnfitError) Error() string { return "the certificate of " + e.Path + " " + string(e.Why) }

// PassphraseError reports that an encrypted key was not decrypted.
type PassphraseError struct {
	Path  string
	Tries int    // wrong passphrases given; 0: the user could not be asked
	Fix   string // the command that adds the key to the agent
	Alone bool   // no agent answers that could hold the key
	Anew  string // after the last try, the command that replaces the key, for a user who has forgotten the passphrase
	Err   error
}

func (e *PassphraseError) Error() string {
	if e.Tries > 0 {
		return fmt.Sprintf("decrypt key %s: wrong passphrase", e.Path)
	}
	return fmt.Sprintf("decrypt key %s: %v", e.Path, e.Err)
}

func (e *PassphraseError) Unwrap() error { return e.Err }

// ErrNoTerminal is the cause of a PassphraseError if no passphrase could be asked for.
var ErrNoTerminal = errors.New("it has a passphrase, and there is no terminal to ask for it")

// UnaskedError reports that a passphrase is needed and the user cannot be asked.
type UnaskedError struct {
	Path string // of the key
	Fix  string // the command to repeat on a terminal
}

func (e *UnaskedError) Error() string {
	return fmt.Sprintf("ask for the passphrase of key %s: there is no terminal", e.Path)
}

// maxTries is how often the program asks for a passphrase, as ssh does (ssh_config(5), NumberOfPasswordPrompts).
const maxTries = 3

// askPassphrase asks for the passphrase of the key at e.Path until decrypt accepts it, at most maxTries
// times. The caller clears the passphrase. The error is e, that of a file, or the cause of ctx.
func (e *PassphraseError) askPassphrase(ctx context.Context, ask Prompter, decrypt func(passphrase []byte) error) ([]byte, error) {
	question := fmt.Sprintf("Enter passphrase for key '%s': ", e.Path)
	for prompt := question; e.Tries < maxTries; prompt = "That was wrong. " + question {
		passphrase, err := ask.ReadSecret(ctx, prompt)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			e.Err = err
			return nil, e
		}
		if err = decrypt(passphrase); err == nil {
			return passphrase, nil
		}
		clear(passphrase)
		if errors.As(err, new(*FileError)) {
			return nil, err
		}
		e.Tries, e.Err = e.Tries+1, err
	}
	if isDefaultPath(e.Path) { // a key elsewhere may have other uses too
		e.Anew = replacementCommand(e.Path)
	}
	return nil, e
}

// PermissionsError reports that other users may read a private key.
type PermissionsError struct {
	Path string
	Mode uint32 // permission bits
	Fix  string
}

func (e *PermissionsError) Error() string {
	return fmt.Sprintf("read key %s: its permissions %#o allow others to read it", e.Path, e.Mode)
}

// FileError reports that a file is not a usable key or certificate.
type FileError struct {
	Path  string
	What  string // what is wrong, in words
	Fix   string // a command, or ""
	Stray bool   // the file contains no key and is not at the default path: the user named it by mistake
	Err   error
}

func (e *FileError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("read key %s: %s: %v", e.Path, e.What, e.Err)
	}
	return fmt.Sprintf("read key %s: %s", e.Path, e.What)
}

func (e *FileError) Unwrap() error { return e.Err }

// AgentError reports that a request to an agent failed or got no answer.
type AgentError struct {
	Socket string
	Err    error
}

// ErrAgentHangs is the cause of an AgentError if the agent did not answer in time.
var ErrAgentHangs = errors.New("it gives no answer")

func (e *AgentError) Error() string { return fmt.Sprintf("ask agent %s: %v", e.Socket, e.Err) }
func (e *AgentError) Unwrap() error { return e.Err }

// addToAgent returns the command that adds a key to the agent. For a certified key it is a
// cscs command, which limits the lifetime to the certificate's. For a bare key it is the command in
// CSCS's documentation.
func addToAgent(path string, certified bool) string {
	if !certified {
		return "ssh-add -t 1d " + shellescape.Quote(path)
	}
	return "cscs key agent" + IdentityFlag(path)
}

// IdentityFlag returns the flag that names the key at path to another cscs command, after a space,
// or "" for the default path.
func IdentityFlag(path string) string {
	if isDefaultPath(path) {
		return ""
	}
	return " --identity " + shellescape.Quote(path)
}

// isDefaultPath reports whether path is the one that CSCS's tools write.
func isDefaultPath(path string) bool {
	is, err := DefaultPath()
	if err != nil {
		return false
	}
	path, err = filepath.Abs(path)
	return err == nil && path == is
}
