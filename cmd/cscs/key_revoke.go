package main

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func newKeyRevokeCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	all := false
	cmd := &cobra.Command{
		Use:   "revoke SERIAL... | --all",
		Short: "Revoke signed keys",
		Long: `Revoke signed keys: servers refuse them from then on, and they no longer count among the five
of the day. cscs key list shows the serial numbers. A certificate on this machine is removed;
the key itself stays and can be signed again.`,
		Example: `  cscs key revoke 14829735431805717965
  cscs key revoke --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			if err := checkSerials(args, all); err != nil {
				return err
			}
			return d.withService(cmd.Context(), o, func(ctx context.Context, c *service.Current, _ *connect.Signer) error {
				return d.keyRevoke(ctx, o, c, args, all)
			})
		},
	}
	o.addKey(cmd)
	g := newGroup("Which")
	g.flags.BoolVar(&all, "all", false, "revoke all your valid keys, of any machine")
	g.addToCommand(cmd)
	o.addService(cmd)
	return cmd
}

func checkSerials(args []string, all bool) error {
	hint := "see cscs key revoke --help"
	switch {
	case all && len(args) > 0:
		return &problem.UsageError{Message: "--all and a serial number exclude each other", Hint: hint}
	case !all && len(args) == 0:
		return &problem.UsageError{Message: "no serial number given; cscs key list shows them", Hint: hint}
	}
	for _, a := range args {
		if _, err := strconv.ParseUint(a, 10, 64); err != nil {
			return &problem.UsageError{Message: quoteWord(a) + " is not a serial number", Hint: "cscs key list shows them"}
		}
	}
	return nil
}

// keyRevoke revokes the certificates, and removes the one of this machine if it is among them.
func (d *deps) keyRevoke(ctx context.Context, o *keyOptions, c *service.Current, serials []string, all bool) error {
	path, state, err := o.keyAndStateDir()
	if err != nil {
		return err
	}
	if all {
		issued, err := c.List(ctx, false)
		if err != nil {
			return err
		}
		for _, i := range issued {
			serials = append(serials, i.Serial)
		}
		if len(serials) == 0 {
			d.say("you have no signed key")
		}
	}
	for _, serial := range serials {
		if err := c.Revoke(ctx, serial); err != nil {
			return err
		}
		ui.Say(d.io, "revoked: "+serial)
		n, err := strconv.ParseUint(serial, 10, 64)
		if err != nil {
			continue // the serial is from the service's own list
		}
		_ = signing.OpenJournal(state).Revoke(n) // only the count of signings is lost
		if have := key.Inspect(path, time.Now(), nil); have.Cert != nil && have.Cert.Serial == n {
			if err := os.Remove(have.CertPath); err != nil {
				return &signing.WriteError{Path: have.CertPath, Err: err}
			}
		}
	}
	return nil
}
