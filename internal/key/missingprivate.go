package key

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/crypto/ssh"
)

// HalfError reports that only the public half of a key exists. No certificate makes such a key usable.
type HalfError struct {
	Path string // where the private half belongs
	Link string // the target of Path, if that is a link to nothing
	Fix  string // the command that removes the rest and makes a new key; "" if Unasked

	// Unasked reports that a public half exists, but no agent could be asked for the private one. Then
	// nothing of the key may be removed.
	Unasked bool
}

func (e *HalfError) Error() string {
	if e.Link != "" {
		return fmt.Sprintf("the private key of %s is missing: it is a link to %s, which does not exist", e.Path, e.Link)
	}
	if e.Unasked {
		return fmt.Sprintf("the private key of %s is missing: only the public key exists, and there is no agent", e.Path)
	}
	return fmt.Sprintf("the private key of %s is missing: only the public key exists, and no agent has it", e.Path)
}

// newHalfError returns the error for the key at path. asked says that an agent has answered that it
// does not hold the key.
func newHalfError(path string, asked bool) *HalfError {
	e := &HalfError{Path: path}
	var left []string
	for _, name := range []string{path, path + ".pub", path + "-cert.pub"} {
		if _, err := os.Lstat(name); err == nil {
			left = append(left, shellescape.Quote(name))
			e.Unasked = e.Unasked || !asked && name != path
		}
	}
	e.Link, _ = readDanglingLink(path)
	if e.Unasked {
		return e
	}
	e.Fix = "rm " + strings.Join(left, " ") + " && " + SignCommand + IdentityFlag(path)
	return e
}

// readDanglingLink returns the target of a symbolic link whose target does not exist.
func readDanglingLink(path string) (to string, is bool) {
	to, err := os.Readlink(path)
	if err != nil {
		return "", false
	}
	_, err = os.Stat(path)
	return to, errors.Is(err, os.ErrNotExist)
}

// A Holder reports whether an agent holds a key whose private half is in no file. The error is an
// *AgentError if an agent gives no answer, or a *NoAgentError if there is none.
type Holder func(ssh.PublicKey) (bool, error)

// HeldBy returns a Holder that asks these agents at each call.
func HeldBy(ctx context.Context, agents func(context.Context) []Agent) Holder {
	return func(pub ssh.PublicKey) (held bool, failed error) {
		failed = &NoAgentError{}
		for _, a := range agents(ctx) {
			held, err := a.Holds(ctx, pub)
			switch {
			case held:
				return true, nil
			case err == nil && errors.As(failed, new(*NoAgentError)):
				failed = nil
			case errors.As(err, new(*AgentError)):
				failed = err
			}
		}
		return false, failed
	}
}

// checkHeld returns an error for a key whose private half is in no file, or nil if an agent holds it.
func (h Holder) checkHeld(path string, pub ssh.PublicKey) error {
	if h == nil || pub == nil {
		return newHalfError(path, false)
	}
	held, err := h(pub)
	none := errors.As(err, new(*NoAgentError))
	if held || err != nil && !none {
		return err
	}
	return newHalfError(path, !none)
}
