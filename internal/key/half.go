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

// HalfError says that of a key there is the public half alone: no certificate makes it of use.
type HalfError struct {
	Path string // where the private half belongs
	Link string // where that leads instead, if it is a link to nothing
	Fix  string // the command that makes room for a new key, and makes it; "" if Unasked

	// Unasked tells that there is a public half, and no agent could be asked for the private one:
	// nothing of the key must be removed then.
	Unasked bool
}

func (e *HalfError) Error() string {
	if e.Link != "" {
		return fmt.Sprintf("the private half of the key %s is nowhere: that is a link to %s, where there is none", e.Path, e.Link)
	}
	if e.Unasked {
		return fmt.Sprintf("the private half of the key %s is nowhere: there is its public half alone, and no agent to ask", e.Path)
	}
	return fmt.Sprintf("the private half of the key %s is nowhere: there is its public half alone, and no agent holds it", e.Path)
}

// newHalfError is the error for the key at path; asked tells that an agent has said that it does not hold it.
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

// readDanglingLink is where a link leads at whose end there is nothing.
func readDanglingLink(path string) (to string, is bool) {
	to, err := os.Readlink(path)
	if err != nil {
		return "", false
	}
	_, err = os.Stat(path)
	return to, errors.Is(err, os.ErrNotExist)
}

// A Holder says whether an agent holds a key whose private half is in no file. The error is an
// *AgentError: that cannot be told; or a *NoAgentError: there is none to ask.
type Holder func(ssh.PublicKey) (bool, error)

// HeldBy asks these agents, when it is asked.
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

// checkHeld is what is wrong with a key whose private half is in no file: nothing if an agent holds it.
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
