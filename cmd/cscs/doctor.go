package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// doctorFlags are the flags of cscs doctor.
type doctorFlags struct {
	whereFlags
	hereFlags
	account    string
	report     bool
	reportFile string // empty: standard output
}

func newDoctorCommand(d *deps) *cobra.Command {
	o := &doctorFlags{}
	cmd := &cobra.Command{
		Use:   "doctor [--report [FILE]]",
		Short: "Check each step on the way to a node, and print the fix",
		Long: `Check each step from this machine to a compute node, in order: files, key and agent, names,
the network, ssh and host keys, the login node, its shell, clock and home, Slurm, a node where
a job of yours runs, and local ports and the browser here. For each step, the command prints
that it works, or what is wrong and how to fix it.

It changes and allocates nothing, and takes at most 20 s. In a terminal, and without --json, it first
asks for the passphrase of a key that no agent has. The exit status is that of a command that meets
the first failure. A warning is not a failure.

With --report, the command prints a text for a bug report in place of the results, or writes it to a
new FILE. The text has versions, the IDs of problems, and the keys that are set in configuration
files. It has no values, and no names but the built-in ones.`,
		Example: `  cscs doctor
  cscs doctor --cluster daint --json
  cscs doctor --cluster daint --report`,
		Args: func(cmd *cobra.Command, args []string) error { return o.takeReportFile(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			d.warned.Do(func() {}) // a check reports a site-wide file that is ignored
			if o.report && o.json {
				return &problem.UsageError{Message: "--report and --json exclude each other", Hint: "for an issue: cscs doctor --report"}
			}
			if o.report {
				return d.runDoctorReport(cmd.Context(), o)
			}
			return d.runDoctor(cmd.Context(), o, ui.Report(d.io, o.json))
		},
	}
	o.addWhereBy(cmd, acceptAny) // the check of the key reports what is wrong with it
	g := newGroup("Here")
	g.addString(&o.account, "account", "A", "NAME", "account to check", checkWord)
	addValue(g, &o.localPort, "local-port", "", "PORT", "local port to check", parsePort("omit --local-port to get a free one"))
	g.flags.BoolVar(&o.json, "json", false, "write the results to stdout, one JSON object per line")
	g.flags.BoolVar(&o.report, "report", false, "print a report for an issue, without secrets, and with no names but the built-in ones")
	g.addToCommand(cmd)
	completeCluster(cmd)
	cmd.Annotations = map[string]string{showsExitStatus: "yes"}
	return cmd
}

// usualPorts are the usual local ports of JupyterLab and TensorBoard.
var usualPorts = []int{8888, 6006}

// runDoctor runs the checks of cscs doctor, passes each result to tell, and returns the error of the first failure.
func (d *deps) runDoctor(ctx context.Context, o *doctorFlags, tell func(doctor.Result)) error {
	signals, stop := hearFirstInterrupt(ctx)
	defer stop()
	cluster, ov := d.doctorsCluster(o.cluster), o.overrides()
	home, err := os.UserHomeDir()
	if err != nil {
		return &site.HomeError{Sought: "~/.ssh", Err: err}
	}
	state, err := paths.StateDir()
	if err != nil {
		return err
	}
	ring, checks := &key.Ring{}, (*key.Lists)(nil).In(signals.ctx)
	if !o.json {
		checks = d.openDoctorsKey(signals, ov, cluster, ring)
		if signals.ctx.Err() != nil { // by Ctrl-C
			return context.Cause(signals.ctx)
		}
	}
	cfg := doctor.Config{
		Account: o.account, SSHDir: filepath.Join(home, ".ssh"), SSHConfig: filepath.Join(home, ".ssh", "config"),
		StateDir: state, Ports: usualPorts, CanOpen: browser.CanOpen,
		Target: func(ctx context.Context) doctor.CheckTarget { return d.findCheckTarget(ctx, ov, cluster, ring, nil) },
		Explain: func(err error) doctor.Explanation {
			p := problem.At(cluster, err)
			return doctor.Explanation{ID: p.ID, Message: p.Message, Hint: p.Hint, Fix: p.Fix, Code: p.Code}
		},
	}
	if path, err := site.ConfigPath(); err == nil {
		cfg.Settings = path
	}
	if o.localPort != 0 {
		cfg.Ports, cfg.MustHave = []int{o.localPort}, true
	}
	if c, err := d.loadSites(); err == nil { // otherwise the first check reports the error
		cfg.SiteErr = cmp.Or(c.Ignored, c.Hidden, findStalePart(signals.ctx, c))
		if path, err := c.SSHConfigPath(); err == nil {
			cfg.SSHConfig = path
		}
		if cl, err := c.Cluster(signals.ctx, cluster); err == nil && cfg.Account == "" {
			i := slices.IndexFunc(cl.Settings, func(s site.Setting) bool { return s.Flag == "account" })
			if i >= 0 {
				cfg.Account = cl.Settings[i].Values[0]
			}
		}
	}
	worst := doctor.Run(checks, cfg, tell)
	if signals.ctx.Err() != nil {
		return context.Cause(signals.ctx)
	}
	return markTold(worst)
}

// doctorsCluster returns the name of the cluster to check: named, or a default for "".
func (d *deps) doctorsCluster(named string) string {
	if named != "" {
		return named
	}
	if c, err := d.loadSites(); err == nil && c.Default() != "" {
		return c.Default()
	}
	return "daint" // the way to any other cluster begins in the same way
}

// openDoctorsKey asks for the passphrase of the key if it needs one and there is a terminal. An agent that asks
// its user gets the time for that. The checks report all other errors and timeouts. The returned context is for
// the checks; it has the key lists of the agents.
func (d *deps) openDoctorsKey(signals *interrupts, ov site.Overrides, cluster string, ring *key.Ring) (checks context.Context) {
	checks = (*key.Lists)(nil).In(signals.ctx)
	ask := newPrompter(signals)
	if ask == nil {
		return checks
	}
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	agents := &key.Lists{Waiting: func(socket string) {
		d.say(agentWaits(socket))
		timer.Reset(key.UserTime + 5*time.Second)
	}}
	ctx := agents.In(signals.ctx)
	found := make(chan error, 1)
	go func() { found <- d.findCheckTarget(ctx, ov, cluster, ring, nil).KeyErr }()
	select {
	case err := <-found:
		if errors.As(err, new(*key.PassphraseError)) {
			d.findCheckTarget(ctx, ov, cluster, ring, ask)
		}
		return ctx
	case <-timer.C:
	case <-signals.ctx.Done():
	}
	return checks
}

// findCheckTarget returns the route for the checks, and continues after errors as far as it can.
func (d *deps) findCheckTarget(ctx context.Context, ov site.Overrides, cluster string, ring *key.Ring, ask key.Prompter) doctor.CheckTarget {
	cfg, err := d.loadSites()
	var cl site.Cluster
	if err == nil {
		cl, err = cfg.Cluster(ctx, cluster)
	}
	var hosts []site.Host
	if err == nil {
		hosts, err = cfg.Route(ctx, cl, ov)
	}
	if err != nil {
		return doctor.CheckTarget{HostsErr: err}
	}
	return connect.FindCheckTarget(ctx, hosts, ring, ask)
}
