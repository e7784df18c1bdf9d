package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func newKeySignCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	force := false
	cmd := &cobra.Command{
		Use:   "sign [flags]",
		Short: "Get the key signed for 24 hours",
		Long: `Get the key signed for 24 hours. You sign in at CSCS in the browser, or with --headless on
another device. cscs creates the key if there is none. It replaces an existing certificate only
by a valid one. Since CSCS signs five keys a day, cscs does not sign again a key that has half of
its time left, except with --force.

A service account's key in $CSCS_API_KEY signs in without a person, and gets a certificate for
one minute. The older service (--service sshservice) asks for name, password and a six-digit code.`,
		Example: `  cscs key sign
  cscs key sign --headless
  cscs key sign --service sshservice`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.keySign(cmd.Context(), o, force)
		},
	}
	o.addKey(cmd)
	cmd.Flags().Lookup("identity").Usage += "; cscs creates it if there is none"
	o.addService(cmd)
	g := newGroup("Here")
	g.flags.BoolVarP(&force, "force", "f", false, "sign even if the certificate has half of its time left")
	g.addToCommand(cmd)
	return cmd
}

// keySign has the key signed, unless its certificate is still good and force is not set.
func (d *deps) keySign(ctx context.Context, o *keyOptions, force bool) error {
	signals, stop := hearFirstInterrupt(ctx)
	defer stop()
	path, err := o.keyPath()
	if err != nil {
		return err
	}
	s, err := d.newKeySigner(signals.ctx, o, signals)
	if err != nil {
		return err
	}
	have := d.inspectKey(signals.ctx, o, path)
	var half *key.HalfError
	if errors.As(have.Problem, &half) && s.Service.Kind == site.SigningCSCS { // the older service makes the whole key
		return have.Problem
	}
	if !force {
		why := notGood(have, time.Now())
		if why == nil && have.Problem == nil && isWorse(s, have, time.Now()) {
			d.say("it is still valid: " + describeCertificate(path, have.Cert.ValidPrincipals, have.ValidBefore) + "; to sign it anyway: cscs key sign --force")
			return nil
		}
		if why != nil {
			d.say("signing it again: " + problem.Of(why).Message)
		}
	}
	r, err := s.Sign(signals.ctx, path)
	if err != nil {
		return err
	}
	d.reportSignedKey(r)
	switch p := d.inspectKey(signals.ctx, o, path).Problem; {
	case errors.As(p, new(*key.UnfitError)):
		return &toldError{p}
	case p != nil:
		return p // its permissions, for example
	}
	if n, of := s.UsedSignings(); of > 0 && !s.IsUnattended() {
		d.say(fmt.Sprintf("at least %d of today's %d signatures at %s are used (exact: cscs key list)", n, of, s.Service.Name))
	}
	return nil
}

// reportSignedKey prints what was signed, and where it is.
func (d *deps) reportSignedKey(r signing.Result) {
	what := "signed: "
	switch {
	case r.Meanwhile:
		what = "another cscs has had it signed: "
	case r.NewKey:
		what = "a new key, signed: "
	}
	ui.Say(d.io, what+describeCertificate(r.Path, r.Cert.ValidPrincipals, key.Until(r.Cert)))
	if err := key.Unfit(r.Path, r.Cert); err != nil {
		ui.Say(d.io, err.Error()+": ask who runs the service for one that does")
	}
	if r.Bare {
		ui.Say(d.io, "the key has no passphrase, since there is no terminal to ask for one; on one: cscs key passphrase"+key.IdentityFlag(r.Path))
	}
}

// notGood returns why a certificate that has not expired is signed again. nil: it has expired, or it is good.
func notGood(s key.State, now time.Time) error {
	var early *key.NotYetValidError
	var unfit *key.UnfitError
	switch {
	case errors.As(s.Problem, &early), errors.As(s.Problem, &unfit):
		return s.Problem
	case s.Problem == nil && s.ValidAfter.After(now): // by less than a clock may be slow
		return &key.NotYetValidError{Path: s.CertPath, From: s.ValidAfter}
	}
	return nil
}

// accountKeyValidity is the lifetime of a certificate for a service account.
const accountKeyValidity = time.Minute

// isWorse reports whether a new certificate is not worth one of the day's signings. For a service account, it
// reports whether a new one would expire before the present one.
func isWorse(s *connect.Signer, have key.State, now time.Time) bool {
	if s.IsUnattended() {
		return have.ValidBefore.IsZero() || have.ValidBefore.Sub(now) > accountKeyValidity
	}
	return !halfOver(have, now)
}

// halfOver reports whether more than half of the certificate's lifetime has passed.
func halfOver(s key.State, now time.Time) bool {
	return !s.ValidBefore.IsZero() && s.ValidBefore.Sub(now) < s.ValidBefore.Sub(s.ValidAfter)/2
}

// describeCertificate describes the certificate of a key and its validity.
func describeCertificate(what string, principals []string, until time.Time) string {
	s := what + ", certificate of " + strings.Join(principals, ", ")
	if until.IsZero() {
		return s + ", valid forever"
	}
	return fmt.Sprintf("%s, valid until %s (%s)", s, until.Local().Format("Mon 2 Jan 15:04"), ui.Duration(time.Until(until)))
}
