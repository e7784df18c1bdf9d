package main

import (
	"context"
	"errors"
	"fmt"
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
	out, closeFile := d.io.Out, func() error { return nil }
	if o.reportFile != "" {
		// A new file only: the name may be a typing error. It is created first, so that an error is reported at once.
		f, err := os.OpenFile(o.reportFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		switch {
		case errors.Is(err, fs.ErrExist):
			return &problem.UsageError{Message: o.reportFile + " exists", Hint: "give the name of a new file, or print the report: cscs doctor --report"}
		case err != nil:
			return &problem.UsageError{Message: "cannot write " + o.reportFile + ": " + regular.Reason(err).Error(), Hint: "give the name of another file, or print the report: cscs doctor --report"}
		}
		defer f.Close()
		out, closeFile = f, f.Close
	}
	d.say("checking each step; this takes at most 20 s")
	r := bugreport.Report{Cluster: d.doctorsCluster(o.cluster)}
	worst := d.runDoctor(ctx, o, func(res doctor.Result) { r.Results = append(r.Results, res) })
	if ctx.Err() != nil || problem.Of(worst).Code == problem.Interrupted {
		if o.reportFile != "" {
			_ = os.Remove(o.reportFile) // it is empty
		}
		return worst
	}
	d.addEnvironment(ctx, &r)
	if _, err := fmt.Fprint(out, r.Text()); err != nil {
		return err
	}
	if err := closeFile(); err != nil { // some file systems report only here that they are full
		return err
	}
	if o.reportFile != "" {
		d.say("report: " + o.reportFile)
	}
	return worst
}

// addEnvironment adds what is not from the checks.
func (d *deps) addEnvironment(ctx context.Context, r *bugreport.Report) {
	r.Version, r.System, r.SSH, r.Now = thisVersion(), bugreport.System(), bugreport.SSH(ctx), time.Now()
	r.Env = setVariables(newRootCommand(d))
	r.Settings.Err, r.SSHConfig.Err = errUnknownFile, errUnknownFile
	if path, err := site.ConfigPath(); err == nil {
		r.Settings = readForReport(path)
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
var otherVariables = []string{"CSCS_CONFIG", "CSCS_SSH_CONFIG", "CSCS_API_KEY", "SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_CONNECTION", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY",
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
