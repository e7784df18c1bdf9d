package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/signing"
)

func newKeyPassphraseCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	cmd := &cobra.Command{
		Use:   "passphrase [flags]",
		Short: "Set or change the passphrase of the key",
		Long: `Set or change the passphrase of the private key; an empty one removes it. The certificate
stays. With cscs key agent, you enter the passphrase once a day.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.keyPassphrase(cmd.Context(), o)
		},
	}
	o.addKey(cmd)
	return cmd
}

// keyPassphrase changes the passphrase of the private key.
func (d *deps) keyPassphrase(ctx context.Context, o *keyOptions) error {
	signals, stop := hearFirstInterrupt(ctx)
	defer stop()
	path, state, err := o.keyAndStateDir()
	if err != nil {
		return err
	}
	have := d.inspectKey(signals.ctx, o, path)
	if !have.Exists && have.Problem != nil {
		return have.Problem
	}
	path = have.Path
	ask := newPrompter(signals)
	if ask == nil {
		return &key.UnaskedError{Path: path, Fix: "cscs key passphrase" + key.IdentityFlag(path)}
	}
	protected, err := signing.Rekey(signals.ctx, signing.Request{Path: path, State: state,
		Ask: connect.Passphrases{Prompter: ask, Question: "Enter new passphrase for key '%s' (empty for none): "}})
	if err != nil {
		return err
	}
	if protected {
		d.say(path + " has a new passphrase; to enter it only once a day: cscs key agent")
	} else {
		d.say(path + " has no passphrase")
	}
	return nil
}
