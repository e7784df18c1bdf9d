package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// printRoute prints the hops. It cleans the contents of certificates and configurations, which come from
// elsewhere.
func printRoute(out io.Writer, r *connect.Route, node string) {
	fmt.Fprintln(out, "The way:")
	for i := range r.Hosts() {
		fmt.Fprintf(out, "  %d  %s\n", i+1, ui.Clean(describeHop(r, i)))
	}
	last := r.Login()
	fmt.Fprintf(out, "  %d  %s\n", len(r.Hosts())+1, ui.Clean(fmt.Sprintf("%-8s %s@%s:22  the same key", node, last.User, node)))
	for _, m := range r.TakeWarnings(map[string]bool{}) {
		fmt.Fprintln(out, "  !  "+ui.Clean(m))
	}
}

// describeHop describes hop i: address, user, key and its validity.
func describeHop(r *connect.Route, i int) string {
	h := r.Hosts()[i]
	s := fmt.Sprintf("%-8s %s@%s  %s", h.Name, h.User, h.Addr(), describeKey(r.Keys()[i]))
	if master := r.MasterSocket(); master != "" && i == len(r.Hosts())-1 {
		s += "; by the connection of ssh, " + master
	}
	return s
}

// describeKey describes a key with its certificate and validity.
func describeKey(id *key.Identity) string {
	s := "key " + cmp.Or(id.Path, id.Comment, id.Fingerprint)
	if id.Agent {
		s += " (in the agent)"
	}
	if id.Cert == nil {
		return s + ", no certificate"
	}
	return describeCertificate(s, id.Principals, id.ValidBefore)
}

// dryRun prints what a session would do.
func dryRun(out io.Writer, r *connect.Route, cfg session.Config) {
	printRoute(out, r, "NODE")
	cfg.Request.QueueTimeout = cfg.QueueTimeout
	fmt.Fprintf(out, "\nOn %s:\n%s", ui.Clean(r.Login().Name), indentLines(strings.Join(cfg.Request.CommandLines(cfg.ID), "\n")))
	fmt.Fprintf(out, "\nOn the first node, in your login environment:\n%s", indentLines(serverCommandLine(cfg.App, cfg.Launch)))
	if line := bootstrapLine(cfg.App, cfg.Launch); line != "" {
		fmt.Fprintf(out, "  --bootstrap: if %s is not there, the node runs this before it, once:\n%s", cfg.App.Program, indentLines("  "+line))
		if cfg.Launch.Venv == "" {
			fmt.Fprintf(out, "  {venv}: ~/.cscs-venvs/%s-…, one for each kind of processor, Python, uenv and container\n", cfg.App.Package)
		}
	}
	fmt.Fprintf(out, "  {port}: %s; {dir}: the session's directory on the cluster, ~/.cscs/…/%s\n", portWords(cfg), cfg.ID)
	if len(cfg.Launch.Step) > 0 {
		fmt.Fprintln(out, "  {job}, {node}, {gres}: the job, its first node, and the generic resources that it has there")
	}
	if len(cfg.App.Query) > 0 {
		fmt.Fprintln(out, "  The token goes by a file in {dir} that only you can read.")
	}
	fmt.Fprintf(out, "\nHere:\n  %s\n", localWords(cfg.LocalPort, cfg.App))
}

// serverCommandLine returns the server's command line. It has no secret, since an App keeps secrets in its
// files.
func serverCommandLine(a app.App, l slurm.Launch) string {
	env := map[string]string{}
	for _, m := range []map[string]string{l.Env, a.Env} {
		for k, v := range m {
			env[k] = v
		}
	}
	l.Argv, l.Env, l.Unset = a.Argv, env, append(slices.Clone(a.Unset), l.Unset...)
	return l.CommandLine()
}

// bootstrapLine returns the command that --bootstrap would run.
func bootstrapLine(a app.App, l slurm.Launch) string {
	l.Package, l.Program = a.Package, a.Program
	return l.BootstrapLine()
}

func indentLines(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		b.WriteString("  " + strings.TrimRight(l, "\n") + "\n")
	}
	return b.String()
}

// portWords says which port the server gets.
func portWords(cfg session.Config) string {
	wished := cfg.WishedPort()
	switch {
	case cfg.App.Port != 0:
		return fmt.Sprint(cfg.App.Port)
	case wished != 0:
		return fmt.Sprintf("%d, or another one if that is in use there", wished)
	case cfg.LocalPort == 0 && cfg.App.LocalPort == 0:
		return "PORT, or another one if that is in use there"
	}
	return "a free port, chosen there"
}

func localWords(local int, a app.App) string {
	switch {
	case local != 0:
		return fmt.Sprintf("http://127.0.0.1:%d%s leads there; if the port is in use, that is an error", local, a.Path)
	case a.LocalPort != 0:
		return fmt.Sprintf("http://127.0.0.1:%d%s leads there, or the next port that is free", a.LocalPort, a.Path)
	}
	return fmt.Sprintf("http://127.0.0.1:PORT%s leads there, PORT being a free one", a.Path)
}

// dryTunnel prints what a tunnel would do.
func dryTunnel(out io.Writer, r *connect.Route, cfg session.TunnelConfig) {
	node := cfg.Node
	if node == "" {
		node = "NODE"
	}
	printRoute(out, r, node)
	switch {
	case cfg.Job == "" && cfg.Node == "":
		fmt.Fprintf(out, "     NODE: the first one of your only job that runs, asked on %s\n", r.Login().Name)
	case cfg.Job != "":
		fmt.Fprintf(out, "     NODE: the first one of job %s, asked on %s\n", cfg.Job, r.Login().Name)
	}
	fmt.Fprintf(out, "\nHere:\n  %s\n", localWords(cfg.LocalPort, app.App{LocalPort: cfg.Port, Path: "/"}))
}
