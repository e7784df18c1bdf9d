package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// keyOptions are the flags that the commands of cscs key share.
type keyOptions struct {
	identity, service, cluster string
	headless, noBrowser, json  bool
}

func newKeyCommand(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Get your ssh key signed, and manage it",
		Long: `Get your ssh key signed for 24 hours, as CSCS requires, and manage it.

The key is ~/.ssh/cscs-key, or the file of --identity. Its certificate is next to it, where
ssh looks for it.`,
		Example: `  cscs key sign
  cscs key status
  cscs key sign --headless          on a machine without a browser
  cscs key import                   a key that the browser has saved`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeySignCommand(d), newKeyStatusCommand(d), newKeyListCommand(d), newKeyRevokeCommand(d),
		newKeyImportCommand(d), newKeyPassphraseCommand(d), newKeyAgentCommand(d))
	for _, c := range cmd.Commands() {
		c.Flags().BoolP("help", "h", false, "show this help")
		c.Annotations = map[string]string{showsExitStatus: "yes"}
	}
	return cmd
}

func (o *keyOptions) addKey(cmd *cobra.Command) {
	g := newGroup("Which")
	g.addString(&o.identity, "identity", "", "FILE", "private key (default: ~/.ssh/cscs-key)", acceptAny)
	g.addToCommand(cmd)
}

// addService adds the flags of commands that contact the signing service.
func (o *keyOptions) addService(cmd *cobra.Command) {
	g := newGroup("Service")
	g.addString(&o.cluster, "cluster", "c", "NAME", "cluster for which the key is (default: that of the configuration)", checkWord)
	g.addString(&o.service, "service", "", "NAME", "signing service: cscs, sshservice (the older one), or one of the configuration (default: the cluster's)", checkWord)
	g.flags.BoolVar(&o.headless, "headless", false, "sign in on another device, with a code")
	g.flags.BoolVar(&o.noBrowser, "no-browser", false, "print the address of the sign-in page, and open no browser")
	g.addToCommand(cmd)
	completeCluster(cmd)
	_ = cmd.RegisterFlagCompletionFunc("service", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, err := new(deps).loadSitesSilently()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return cfg.Signings(), cobra.ShellCompDirectiveNoFileComp
	}) // the flag exists and is registered once
}

func (o *keyOptions) addJSON(cmd *cobra.Command, what string) {
	g := newGroup("Here")
	g.flags.BoolVar(&o.json, "json", false, "write "+what)
	g.addToCommand(cmd)
}

// keyPath returns the absolute path of the private key that the flags name.
func (o *keyOptions) keyPath() (string, error) {
	named := o.identity
	if named == "" {
		return key.DefaultPath()
	}
	for _, suffix := range []string{"-cert.pub", ".pub"} {
		named = strings.TrimSuffix(named, suffix)
	}
	if rest, ok := strings.CutPrefix(named, "~"); ok && (rest == "" || rest[0] == '/') { // as in --identity=~/x
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &site.HomeError{Sought: "the key", Err: err}
		}
		return filepath.Join(home, rest), nil
	}
	return filepath.Abs(named)
}

// keyAndStateDir returns the path of the private key and the state directory, where signings are recorded.
func (o *keyOptions) keyAndStateDir() (path, state string, err error) {
	if path, err = o.keyPath(); err != nil {
		return "", "", err
	}
	state, err = paths.StateDir()
	return path, state, err
}

// newKeySigner returns the signer for the service that the flags name, and for the user at the terminal.
func (d *deps) newKeySigner(ctx context.Context, o *keyOptions, signals *interrupts) (*connect.Signer, error) {
	cfg, err := d.loadSites()
	if err != nil {
		return nil, err
	}
	name, user := o.service, ""
	if cluster := cmp.Or(o.cluster, cfg.Default()); cluster != "" && name == "" {
		cl, err := cfg.Cluster(ctx, cluster)
		if err != nil {
			return nil, err
		}
		if name = cl.Signing; name == "" && o.cluster != "" {
			return nil, &problem.UsageError{Message: "no known service signs keys for " + cluster,
				Hint: "name a service with --service (" + strings.Join(cfg.Signings(), ", ") + "), or as signing in [clusters." + cluster + "] of " + cfg.Path}
		}
	}
	if name == "" && cfg.Ignored != nil { // the service of the cluster may be in that file, and secrets are not for another one
		return nil, &problem.UsageError{Message: "no signing service is known while " + cfg.SitePath + " is ignored",
			Hint: "name a service with --service (" + strings.Join(cfg.Signings(), ", ") + ")"}
	}
	by, err := cfg.Signing(cmp.Or(name, site.DefaultSigning))
	if err != nil {
		return nil, err
	}
	if path, err := o.keyPath(); err == nil {
		if s := key.Inspect(path, time.Now(), nil); s.Cert != nil && len(s.Cert.ValidPrincipals) == 1 {
			user = s.Cert.ValidPrincipals[0]
		}
	}
	s := d.newSigner(cfg, by, newPrompter(signals))
	s.Headless, s.NoBrowser, s.User, s.Named = o.headless, o.noBrowser, ui.Clean(user), o.service != "" || o.cluster != ""
	s.Agents = func(ctx context.Context) []key.Agent { return d.findAgents(ctx, o) }
	return s, nil
}

// findAgents returns the agents that may have the key: that of the environment, and those that ssh's
// configuration names on the way to the cluster (IdentityAgent).
func (d *deps) findAgents(ctx context.Context, o *keyOptions) []key.Agent {
	all := []key.Agent{key.FindAgent("")}
	cfg, err := d.loadSites()
	if err != nil {
		return all // the caller that needs the configuration reports the error
	}
	name := cmp.Or(o.cluster, cfg.Default())
	if name == "" {
		name = cfg.Known()[0] // settings of one cluster usually hold for all
	}
	cl, err := cfg.Cluster(ctx, name)
	if err != nil {
		return all
	}
	for _, a := range agentsOf(ctx, cfg, cl) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// agentsOf returns the agents that ssh's configuration names on the way to a cluster.
func agentsOf(ctx context.Context, cfg *site.Config, cl site.Cluster) (all []key.Agent) {
	hosts, err := cfg.Route(ctx, cl, site.Overrides{})
	if err != nil {
		return nil
	}
	for _, h := range hosts {
		if a := key.FindAgent(h.IdentityAgent); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// inspectKey returns the state of the key. It asks agents if no file has the private key.
func (d *deps) inspectKey(ctx context.Context, o *keyOptions, path string) key.State {
	return key.Inspect(path, time.Now(), key.HeldBy(ctx, func(ctx context.Context) []key.Agent { return d.findAgents(ctx, o) }))
}

// newPrompter returns a prompter on the terminal, or nil if there is none.
func newPrompter(signals *interrupts) connect.Prompter {
	ask, err := ui.NewPrompter()
	if err != nil {
		return nil
	}
	ask.Interrupt = signals.raiseInterrupt
	return ask
}
