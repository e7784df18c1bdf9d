package main

import (
	"cmp"
	"context"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func newKeyAgentCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	cmd := &cobra.Command{
		Use:   "agent [flags]",
		Short: "Add the key to the ssh agent, until its certificate expires",
		Long: `Add the key and its certificate to the ssh agent, which removes them when the certificate
expires, and remove expired certificates of this key from the agent. A certificate that the agent
already has stays as it is, with its lifetime and constraints (ssh-add -t, -c).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.keyAgent(cmd.Context(), o)
		},
	}
	o.addKey(cmd)
	return cmd
}

// keyAgent removes expired certificates from the agent, and adds the key with its certificate.
func (d *deps) keyAgent(ctx context.Context, o *keyOptions) error {
	signals, stop := hearFirstInterrupt(ctx)
	defer stop()
	path, err := o.keyPath()
	if err != nil {
		return err
	}
	agent := key.FindAgent("")
	state := d.inspectKey(signals.ctx, o, path)
	removed, err := agent.RemoveExpired(signals.ctx, state.Cert, time.Now())
	if err != nil {
		return err
	}
	for _, name := range removed {
		ui.Say(d.io, "expired, taken out of the agent: "+name)
	}
	if state.Problem != nil {
		return state.Problem
	}
	if !state.Exists {
		d.say("the private key of " + path + " exists only in an agent: there is nothing to add")
		return nil
	}
	path = state.Path // of the key that the certificate is for
	private, passphrase, err := key.Open(signals.ctx, path, newPrompter(signals))
	clear(passphrase)
	if err != nil {
		return err
	}
	added, err := agent.Add(signals.ctx, private, state.Cert, cmp.Or(state.Comment, path), time.Now())
	if err != nil {
		return err
	}
	what := describeCertificate(path, state.Cert.ValidPrincipals, state.ValidBefore)
	if added.Held {
		d.say("the agent has it already, with the lifetime and constraints with which it was added: " + what)
		return nil
	}
	d.say("the agent has it: " + what)
	if added.Beside {
		d.say("the agent had this key before; if each use had to be confirmed, that does not apply to the new certificate: ssh-add -c " + shellescape.Quote(path))
	}
	return nil
}

func keyFingerprint(pub ssh.PublicKey) string { return ssh.FingerprintSHA256(pub) }
