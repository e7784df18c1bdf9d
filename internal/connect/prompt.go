package connect

import (
	"context"
	"crypto/subtle"
	"fmt"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// A Prompter asks the user at the terminal, and tells what belongs to a question. *ui.Prompter implements it.
type Prompter interface {
	// Ask asks a question until understand turns the answer into yes or no. After any other answer it prints again.
	Ask(ctx context.Context, question, again string, understand func(answer string) (yes, understood bool)) (bool, error)
	// ReadLine asks for a line and echoes it.
	ReadLine(ctx context.Context, question string) (string, error)
	// ReadSecret asks for a line without echo.
	ReadSecret(ctx context.Context, question string) ([]byte, error)
	// Tell prints a line between two questions.
	Tell(line string)
	// TellAll prints several lines before a question.
	TellAll(text string)
}

// answerChallenge asks the user what a host asks after it has accepted the key: a second factor.
func (r *Route) answerChallenge(ctx context.Context, c chain.Challenge) (answers []string, err error) {
	for _, text := range []string{c.Name, c.Instruction} {
		if text != "" {
			r.prompter.TellAll(text)
		}
	}
	for _, p := range c.Prompts {
		question := fmt.Sprintf("(%s@%s) %s ", c.User, c.Hop, p.Text)
		var answer string
		if p.Echo {
			answer, err = r.prompter.ReadLine(ctx, question)
		} else {
			var secret []byte
			secret, err = r.prompter.ReadSecret(ctx, question)
			answer = string(secret)
			clear(secret)
		}
		if err != nil {
			return nil, CancellationCause(ctx, err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// Passphrases asks for passphrases of keys. It implements signing.Prompter.
type Passphrases struct {
	Prompter
	Question string // asks for a new passphrase; %s is the key
}

// NewKeyQuestion is the Question for a key that does not exist yet.
const NewKeyQuestion = "Enter passphrase for the new key '%s' (empty for none): "

// NewPassphrase implements signing.Prompter.
func (p Passphrases) NewPassphrase(ctx context.Context, path string) ([]byte, error) {
	for {
		one, err := p.ReadSecret(ctx, fmt.Sprintf(p.Question, path))
		if err != nil || len(one) == 0 {
			return nil, CancellationCause(ctx, err)
		}
		again, err := p.ReadSecret(ctx, "The same passphrase again: ")
		if err != nil {
			return nil, CancellationCause(ctx, err)
		}
		same := subtle.ConstantTimeCompare(one, again) == 1
		clear(again)
		if same {
			return one, nil
		}
		clear(one)
		p.Tell("they differ: once more")
	}
}

// CancellationCause returns the cause of ctx's end if ctx has ended, otherwise err.
func CancellationCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
