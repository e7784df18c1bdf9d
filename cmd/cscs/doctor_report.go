package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/bugreport"
	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/site"
)

// takeReportFile takes the argument of --report, which the flag parser leaves to the command: a flag with an optional
// value would need --report=FILE.
func (o *doctorFlags) takeReportFile(cmd *cobra.Command, args []string) error {
	if !o.report || len(args) == 0 {
		return noArgs(cmd, args)
	}
	if o.reportFile = args[0]; o.reportFile == "" {
		return &problem.UsageError{Message: "the name of the report's file is empty", Hint: "omit it to print the report: cscs doctor --report"}
	}
	return noArgs(cmd, args[1:])
}

// runDoctorReport runs the checks, and prints or writes the report. It returns the error of the first failed check.
func (d *deps) runDoctorReport(ctx context.Context, o *doctorFlags) error {
	if o.reportFile == "" {
		worst, err := d.printReport(ctx, o, d.io.Out)
		return cmp.Or(err, worst)
	}
	// A new file only: the name may be a typing error. It is created first, so that an error is reported at once.
	f, err := os.OpenFile(o.reportFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &problem.UsageError{Message: o.reportFile + " exists", Hint: "give the name of a new file, or print the report: cscs doctor --report"}
	case err != nil:
		return &problem.UsageError{Message: "cannot write " + o.reportFile + ": " + regular.Reason(err).Error(), Hint: "give the name of another file, or print the report: cscs doctor --report"}
	}
	created, _ := f.Stat() // nil, which is the same as no file, after an error
	worst, err := d.printReport(ctx, o, f)
	if closeErr := f.Close(); err == nil {
		err = closeErr // some file systems report only here that they are full
	}
	if err != nil {
		// An empty or partial report is of no use. Another file may have its name by now.
		if now, statErr := os.Lstat(o.reportFile); statErr == nil && os.SameFile(created, now) {
			_ = os.Remove(o.reportFile)
		}
		return err
	}
	d.say("report: " + o.reportFile)
	return worst
}

// printReport runs the checks and writes the report to out. It returns the error of the first failed check, and apart
// from it why there is no whole report: an interrupt, or an error of out.
func (d *deps) printReport(ctx context.Context, o *doctorFlags, out io.Writer) (worst, err error) {
	d.say("checking each step; this takes at most 20 s")
	r := bugreport.Report{Cluster: d.doctorsCluster(o.cluster), IsProblem: problem.IsID}
	ssh := make(chan string, 1)
	go func() { ssh <- bugreport.SSH(ctx) }() // beside the checks: a program that hangs would add to their time
	worst = d.runDoctor(ctx, o, func(res doctor.Result) { r.Results = append(r.Results, res) })
	if problem.Of(worst).Code == problem.Interrupted {
		return nil, worst
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.SSH = <-ssh
	d.addEnvironment(&r)
	_, err = fmt.Fprint(out, r.Text())
	return worst, err
}

// addEnvironment adds what is not from the checks.
func (d *deps) addEnvironment(r *bugreport.Report) {
	r.Version, r.System, r.Now = thisVersion(), bugreport.System(), time.Now()
	r.Env = setVariables(newRootCommand(d))
	r.Settings.Err, r.SSHConfig.Err = errUnknownFile, errUnknownFile
	if path, err := site.ConfigPath(); err == nil {
		r.Settings = readForReport(path)
	}
	r.SiteSettings.Err = fs.ErrNotExist
	if path := site.SitePath(); path != "" {
		r.SiteSettings = readForReport(path)
	}
	if c, err := d.loadSites(); err == nil { // config.toml may name the file
		if path, err := c.SSHConfigPath(); err == nil {
			r.SSHConfig = readForReport(path)
		}
	}
	if state, err := paths.StateDir(); err == nil {
		r.Ended = registry.Open(state).Ended(r.Now)
	}
}

// errUnknownFile is for a file whose path cannot be found out.
var errUnknownFile = errors.New("its path is unknown")

func readForReport(path string) bugreport.File {
	data, _, err := regular.Read(path)
	return bugreport.File{Data: data, Err: err}
}

// otherVariables are the environment variables besides those of the flags that cscs, or a program that it starts, uses.
var otherVariables = []string{"CSCS_CONFIG", "CSCS_SITE_CONFIG", "CSCS_SSH_CONFIG", "CSCS_API_KEY", "SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_CONNECTION", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY",
	"TMUX", "NO_COLOR", "SHELL", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "NO_PROXY", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"}

// setVariables returns the names of the environment variables that are set and used, sorted. It lists no other
// variable: a name can be a secret too.
func setVariables(root *cobra.Command) []string {
	names := slices.Clone(otherVariables)
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, envVar(f.Name)) })
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return strings.TrimSpace(os.Getenv(name)) == ""
	})
}
