package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// newSigner returns a signer that tells the user what it does. ask is nil if there is no terminal to ask on.
func (d *deps) newSigner(cfg *site.Config, by site.Signing, ask connect.Prompter) *connect.Signer {
	return &connect.Signer{Service: by, CountedWith: cfg.CountedWith(by), Prompter: ask, Comment: whoWhere(), UserAgent: userAgent(),
		Say: d.say, ShowDevice: d.showDevice}
}

// showDevice prints how to sign in on another device.
func (d *deps) showDevice(device service.Device) {
	d.say("sign in from any device, at " + device.Address)
	d.say("with the code " + device.Code)
	if d.io.ErrTTY && d.io.Unicode && device.Complete != "" {
		fmt.Fprint(d.io.Err, ui.QR(device.Complete, d.io.Width()-1))
	}
}

// usualLimit is CSCS's default time limit of a job.
const usualLimit = time.Hour

// newRenewal returns the renewal of a cluster with a signing service, or nil. ask is nil if there is no
// terminal to ask on.
func (s *start) newRenewal(cfg *site.Config, cl site.Cluster, ask connect.Prompter) (*connect.Renewal, error) {
	o := s.opts
	if cl.Signing == "" || o.dryRun {
		return nil, nil
	}
	by, err := cfg.Signing(cl.Signing)
	if err != nil {
		return nil, err
	}
	signer := s.deps.newSigner(cfg, by, ask)
	signer.NoBrowser, signer.User = o.noBrowser, ui.Clean(o.user)
	signer.Named = cl.Name != cfg.Default() && (cfg.Default() != "" || by.Name != site.DefaultSigning)
	signer.Agents = func(ctx context.Context) []key.Agent {
		return append([]key.Agent{key.FindAgent("")}, agentsOf(ctx, cfg, cl)...)
	}
	r := &connect.Renewal{Signer: signer, Disabled: o.noSign, Signed: func(result signing.Result) {
		s.deps.say("signed: " + describeCertificate(result.Path, result.Cert.ValidPrincipals, key.Until(result.Cert)))
	}}
	if o.jobLimit > 0 {
		r.Until = time.Now().Add(o.jobLimit)
	}
	return r, nil
}
