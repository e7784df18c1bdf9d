package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/notify"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// deps has what commands need from outside; tests replace it.
type deps struct {
	io     *ui.IO
	args   []string // the command line
	run    func(context.Context, session.Config, func(session.Event)) error
	tunnel func(context.Context, session.TunnelConfig, func(session.Event)) error
	end    func(context.Context, session.Config, bool, func(session.Event)) error
	attach func(context.Context, session.Config, func(session.About, slurm.Found), func(session.Event)) error
	list   func(context.Context, *connect.Route) ([]slurm.Found, []slurm.Swept, error)
	notify func(ctx context.Context, title, text string) error // shows a desktop notification
	demo   demoVisit
	warned sync.Once // of a site-wide file that is ignored
}

func newDeps(io *ui.IO) *deps {
	return &deps{io: io, run: session.Run, tunnel: session.Tunnel, end: session.Stop, attach: session.Attach, list: listSessions, notify: notify.Show}
}

// runCommandLine runs one command line and returns its exit code. No other function turns an error into an exit
// code.
func runCommandLine(ctx context.Context, args []string, d *deps) int {
	d.args = args
	root := newRootCommand(d)
	root.SetArgs(args)
	root.SetOut(d.io.Out)
	root.SetErr(d.io.Err)
	agents := &key.Lists{Waiting: func(socket string) { d.say(agentWaits(socket)) }}
	cmd, err := root, checkCommand(root, args)
	if err == nil {
		cmd, err = root.ExecuteContextC(agents.In(ctx))
	}
	d.demo.leave()
	var told *toldError
	if errors.As(err, &told) {
		return problem.Of(told.error).Code
	}
	p := problem.Of(err)
	if p.Code != problem.OK {
		ui.Error(d.io, p.Message, p.Hint)
		if verbose, _ := cmd.Flags().GetBool("verbose"); verbose {
			d.say("problem: " + p.ID)
		}
	}
	return p.Code
}

// agentWaits returns the message for an agent that has not listed its keys yet.
func agentWaits(socket string) string {
	return "your ssh agent (" + socket + ") has not listed its keys yet: if it asks you for a confirmation, give it; Ctrl-C ends the wait"
}

// A toldError is an error that an event has already reported to the user.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }

func newRootCommand(d *deps) *cobra.Command {
	showVersion := false
	cmd := &cobra.Command{
		Use:   "cscs",
		Short: "Run a server on a compute node and open it in your browser",
		Long: `cscs runs a server on a compute node of a Slurm cluster behind a jump host and
opens it in your browser: one command instead of ssh, salloc, squeue, srun and
a tunnel. It requests the allocation, starts the server bound to 127.0.0.1,
forwards a local port to it and, on Ctrl-C, removes all of it again.`,
		Example: `  cscs run-jupyter --cluster daint
  cscs run-tensorboard --cluster daint --logdir runs
  cscs run -c daint -t 30 -- python3 -m http.server {port} --bind 127.0.0.1
  cscs tunnel --cluster daint --node nid006554 --port 6006`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return d.printVersion()
			}
			return cmd.Help()
		},
	}
	cmd.Flags().BoolVar(&showVersion, "version", false, "print the version")
	cmd.SetHelpCommand(newHelpCommand())
	cmd.SetFlagErrorFunc(flagError)
	cmd.SetUsageFunc(printUsage)
	cmd.AddCommand(
		newRunJupyterCommand(d),
		newRunTensorBoardCommand(d),
		newRunCommand(d),
		newTunnelCommand(d),
		newPsCommand(d),
		newAttachCommand(d),
		newDetachCommand(d),
		newStopCommand(d),
		newLogsCommand(d),
		newOpenCommand(d),
		newKeyCommand(d),
		newSSHConfigCommand(d),
		newConfigCommand(d),
		newProxyCommand(d),
		newDoctorCommand(d),
		newDemoCommand(d),
		newCompletionCommand(d),
		newManCommand(),
		newVersionCommand(d),
		newKeepCommand(d),
	)
	cmd.CompletionOptions.DisableDefaultCmd = true // newCompletionCommand replaces it
	for _, c := range append(cmd.Commands(), cmd) {
		c.Flags().BoolP("help", "h", false, "show this help")
	}
	return cmd
}

// noArgs is the check of commands that take no arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &problem.UsageError{Message: "unknown argument " + quoteWord(args[0]), Hint: "see " + cmd.CommandPath() + " --help"}
}

// flagError makes a usage error of one line from an error of the flag parser.
func flagError(cmd *cobra.Command, err error) error {
	u := problem.Usagef("%v", err)
	u.Hint = "see " + cmd.CommandPath() + " --help"
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &invalid):
		u.Message = badValue("--"+invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
		if invalid.GetFlag().Value.Type() == "bool" {
			u.Message = "--" + invalid.GetFlag().Name + " takes no value"
		}
	case errors.As(err, &missing):
		u.Message = "--" + missing.GetFlag().Name + " needs a value"
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		u.Message = "unknown flag --" + name
		if short := unknown.GetSpecifiedShortnames(); short == name {
			u.Message = "unknown flag -" + name
		} else if short != "" {
			u.Message = "unknown flag -" + name + " in -" + short
		} else if near := suggestFlag(cmd, name); near != "" {
			u.Message += ", did you mean --" + near + "?"
		}
		if hint := slurmHint(cmd, name); hint != "" && (len(name) > 1 || cmd.Name() != "run") {
			u.Hint = hint
		} else if cmd.Name() == "run" {
			u.Hint = "the command and its flags go behind --: cscs run -- COMMAND; see cscs run --help"
		}
	}
	return u
}

// badValue returns the message for a bad value of origin, a flag or a variable. err begins with what the value
// is or lacks.
func badValue(origin, value string, err error) string {
	return origin + " " + quoteWord(value) + ": " + err.Error()
}

// quoteWord quotes s unless it is a plain word.
func quoteWord(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\"'") {
		return "'" + s + "'"
	}
	return s
}
