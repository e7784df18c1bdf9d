package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshconfig"
)

func newSSHConfigCommand(d *deps) *cobra.Command {
	o := &whereFlags{}
	install, uninstall := false, false
	cmd := &cobra.Command{
		Use:   "ssh-config",
		Short: "Set up ssh, scp and other tools for the clusters and your sessions",
		Long: `Print a configuration for ssh: a Host block for each cluster that is built in or in the
site-wide file, and one for the nodes of your live sessions, so that ssh cscs-ID, scp,
rsync, sftp, VS Code and all that reads ssh's configuration reach them.

--install writes it to a file next to ~/.ssh/config, and includes that file by a marked block
at the top of ~/.ssh/config. It changes nothing else in your file, and keeps one copy of it. If
your file already sets where a host leads, cscs leaves that host alone; if your file has a block
for a host, the settings in it take precedence. --uninstall removes everything again.`,
		Example: `  cscs ssh-config
  cscs ssh-config --install
  ssh daint
  scp result.csv cscs-k7:`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			if install && uninstall {
				return &problem.UsageError{Message: "--install and --uninstall exclude each other", Hint: "see cscs ssh-config --help"}
			}
			return d.sshConfig(cmd.Context(), o.overrides(), install, uninstall)
		},
	}
	g := newGroup("What")
	g.flags.BoolVar(&install, "install", false, "write the configuration to a file, and include it in ~/.ssh/config")
	g.flags.BoolVar(&uninstall, "uninstall", false, "remove the file and the block in ~/.ssh/config")
	g.addString(&o.user, "user", "", "NAME", "user name on the cluster (default: from ~/.ssh/config, otherwise from the certificate)", checkUser)
	g.addString(&o.identity, "identity", "", "FILE", "private key, with its certificate next to it (default: from ~/.ssh/config, otherwise ~/.ssh/cscs-key)", checkFile)
	g.addToCommand(cmd)
	return cmd
}

// sshConfig prints, installs or removes cscs's part of ssh's configuration.
func (d *deps) sshConfig(ctx context.Context, ov site.Overrides, install, uninstall bool) error {
	cfg, err := d.loadSites()
	if err != nil {
		return err
	}
	files, err := sshFiles(cfg)
	if err != nil {
		return err
	}
	if uninstall {
		own, err := files.Uninstall(ctx)
		if err != nil {
			return err
		}
		d.say(files.Config + " no longer includes anything of cscs")
		d.sayOwnIncludes(own)
		return nil
	}
	text, own, err := sshText(ctx, cfg, files, ov)
	if err != nil {
		return err
	}
	if strings.Contains(text, sshconfig.NoUser) {
		d.say("your user name there is not known yet: set it with --user, or run this again when you have a key")
	}
	if !install {
		_, err := io.WriteString(d.io.Out, text)
		return err
	}
	includes, err := files.Install(ctx, text)
	if err == nil {
		d.say(fmt.Sprintf("%s includes %s now: ssh daint, and for a session's node ssh %sID", files.Config, files.Part, sshconfig.Prefix))
		d.sayOwnIncludes(includes)
	}
	var byHand *sshconfig.WriteError // in this case cscs's own file is written
	if len(own) > 0 && (err == nil || errors.As(err, &byHand) && byHand.Line != "") {
		d.say("left as in your own configuration: " + strings.Join(own, ", "))
	}
	return err
}

// sayOwnIncludes reports the lines with which the user included our file.
func (d *deps) sayOwnIncludes(lines []string) {
	if len(lines) > 0 {
		d.say("left as it is, since cscs did not write it: " + strings.Join(lines, "; "))
	}
}

// sshFiles returns the paths of ssh's configuration files.
func sshFiles(cfg *site.Config) (sshconfig.Files, error) {
	state, err := paths.StateDir()
	if err != nil {
		return sshconfig.Files{}, err
	}
	config, err := cfg.SSHConfigPath()
	return sshconfig.In(config, filepath.Join(state, "known_hosts")), err
}

// anySession is a host name that stands for all sessions in queries of ssh's configuration.
const anySession = sshconfig.Prefix + "__any__"

// sshText returns the configuration for ssh, and in words what it leaves to the user's own file.
func sshText(ctx context.Context, cfg *site.Config, files sshconfig.Files, ov site.Overrides) (text string, own []string, err error) {
	without, done, err := files.Without(ctx)
	if err != nil {
		return "", nil, err
	}
	defer done()
	aliases, err := cfg.Aliases(ctx, without, ov)
	if err != nil {
		return "", nil, err
	}
	s := sshconfig.Sessions{KnownHosts: files.Known}
	if s.Proxy, err = proxyCommand(); err != nil {
		return "", nil, err
	}
	var hosts []sshconfig.Host
	var left []string // hosts that are left to the user's file entirely
	for _, a := range aliases {
		login := loginOf(ctx, a.Host)
		if a.Name == cmp.Or(cfg.Default(), "daint") || s.Login == (sshconfig.Login{}) {
			s.Login = login
		}
		if a.Own {
			left, own = append(left, a.Name), append(own, a.Name)
			continue
		}
		hosts = append(hosts, sshconfig.Host{Name: a.Name, HostName: a.HostName, Port: a.Port, Jump: a.Jump, Login: login, Own: a.Sets})
		if len(a.Sets) > 0 {
			own = append(own, strings.Join(a.Sets, " and ")+" of "+a.Name)
		}
	}
	if s.Own, err = cfg.SetFor(ctx, without, anySession); err != nil {
		return "", nil, err
	}
	// With another Port, ssh would look up the host key under another name.
	s.Own = slices.DeleteFunc(s.Own, func(keyword string) bool { return keyword == "Port" })
	if len(s.Own) > 0 {
		own = append(own, strings.Join(s.Own, " and ")+" of "+sshconfig.Prefix+"*")
	}
	text, err = sshconfig.Text(hosts, left, s)
	return text, own, err
}

// findStalePart returns a *site.ConfigError if our part of ~/.ssh/config leads to other places than cscs would go without
// it: ~/.ssh/config counts before the site-wide file. It returns nil if there is no such file, or if it cannot tell.
func findStalePart(ctx context.Context, cfg *site.Config) error {
	files, err := sshFiles(cfg)
	if err != nil || !cfg.UsesSiteFile() {
		return nil
	}
	if _, err := os.Stat(files.Part); err != nil {
		return nil
	}
	without, done, err := files.Without(ctx)
	if err != nil {
		return nil
	}
	defer done()
	if names, err := cfg.FindStaleAliases(ctx, without); err == nil && len(names) > 0 {
		return &site.ConfigError{File: files.Part, Fix: "cscs ssh-config --install",
			Message: "this file, which counts before " + cfg.SitePath + ", leads some names elsewhere than cscs does without it: " + strings.Join(names, ", ")}
	}
	return nil
}

// loginOf returns the user and key that cscs itself would use at a host, without questions.
func loginOf(ctx context.Context, h site.Host) sshconfig.Login {
	id, err := key.Load(ctx, connect.KeySource(h), nil)
	l := sshconfig.Login{User: h.User}
	var shut *key.PassphraseError
	switch {
	case err == nil:
		l.User = cmp.Or(l.User, id.Principal())
		if _, err := os.Stat(id.Path); err == nil { // otherwise only the agent has it
			l.Identity, l.Only = id.Path, true
		}
		if id.CertPath != "" && (l.Identity == "" || id.CertPath != strings.TrimSuffix(id.Path, ".pub")+"-cert.pub") {
			l.Certificate = id.CertPath
		}
	case errors.As(err, &shut):
		have := key.Inspect(shut.Path, time.Now(), nil)
		l.User, l.Identity, l.Only = cmp.Or(l.User, principalOf(have.Cert)), shut.Path, true
		if have.Cert != nil && have.CertPath != shut.Path+"-cert.pub" {
			l.Certificate = have.CertPath
		}
	default: // where a key will be, or that of an agent
		usual, _ := key.DefaultPath() // without a home directory, ssh has none either
		l.Identity = cmp.Or(h.Identity, usual)
	}
	l.Identity, l.Certificate = sshconfig.Tilde(l.Identity), sshconfig.Tilde(l.Certificate)
	return l
}

// principalOf returns the principal of a certificate that has exactly one, otherwise "".
func principalOf(cert *ssh.Certificate) string {
	if cert == nil || len(cert.ValidPrincipals) != 1 {
		return ""
	}
	return cert.ValidPrincipals[0]
}

// proxyCommand returns the command by which ssh runs this program. It uses the name on the PATH if that is the
// same program, since a package manager may keep each version elsewhere.
func proxyCommand() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if onPath, err := exec.LookPath("cscs"); err == nil && filepath.IsAbs(onPath) && regular.Same(self, onPath) {
		self = onPath
	}
	return sshconfig.Command(self, "proxy"), nil
}
