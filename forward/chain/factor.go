package chain

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxAnswers is how often a hop's questions are answered, as in ssh (ssh_config(5),
// NumberOfPasswordPrompts).
const maxAnswers = 3

// answerTime is how long a hop may take to judge an answer, since it may wait for the user's
// telephone. It is sshd's own limit (sshd_config(5), LoginGraceTime).
const answerTime = 2 * time.Minute

// errNoTerminal is the error of a prompt that no person can answer.
var errNoTerminal = errors.New("no one can be asked for a second factor")

// chooseAuthMethod implements ssh.ClientAuthCallback. The key is offered first. Only a hop that has
// accepted it gets answers of the user. Another hop would get a password in place of a key.
func (d *dialAttempt) chooseAuthMethod(ctx context.Context, auth *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	d.attempts++
	d.methods, d.partial = auth.AllowedMethods, len(auth.PartialSuccessMethods) > 0
	switch {
	case d.unanswered != nil:
		return nil, d.unanswered
	case d.asked == maxAnswers,
		!slices.Contains(auth.PartialSuccessMethods, "publickey"), !slices.Contains(auth.AllowedMethods, keyboardInteractive):
		return nil, nil // the key, if it was not offered yet
	}
	d.asked++
	return ssh.KeyboardInteractive(func(name, instruction string, prompts []string, echo []bool) ([]string, error) {
		return d.answerPrompts(ctx, name, instruction, prompts, echo)
	}), nil
}

// answerPrompts calls Options.Challenge with the timer paused. A request without prompts (RFC 4256,
// section 3.2) needs no user: the hop may have asked the user's telephone.
func (d *dialAttempt) answerPrompts(ctx context.Context, name, instruction string, prompts []string, echo []bool) ([]string, error) {
	defer d.timer.ensureRemaining(answerTime)
	if d.chain.opts.Challenge == nil {
		if len(prompts) > 0 {
			d.unanswered = errNoTerminal
		}
		return nil, d.unanswered
	}
	c := Challenge{Hop: d.hop.Name, User: d.hop.User, Name: sanitizeText(name), Instruction: sanitizeText(instruction)}
	for i, p := range prompts {
		c.Prompts = append(c.Prompts, Prompt{Text: sanitizeText(p), Echo: echo[i]})
	}
	if len(c.Prompts) == 0 && c.Name == "" && c.Instruction == "" {
		return nil, nil // the end of PAM's questions
	}
	defer d.timer.pause()()
	began := time.Now()
	answers, err := d.chain.opts.Challenge(ctx, c)
	d.waitedForUser = d.waitedForUser || time.Since(began) > automaticAnswerTime
	switch {
	case err != nil:
		d.unanswered = err
	case len(prompts) > 0:
		d.answered = true
	}
	return answers, err
}
