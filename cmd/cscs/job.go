package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// A job is a command that allocates, starts an app and forwards to it. The three run commands differ only in
// the app.
type job struct {
	options
	serverFlags
	slurmFlags

	recipe func(*site.Config) ([]site.Setting, error) // may be nil
	app    func() (app.App, error)                    // called once all flags are filled
	noLog  bool                                       // keep no copy of the server's log
}

// newJob returns a job with the defaults of its flags.
func newJob() *job {
	return &job{serverFlags: serverFlags{startTimeout: 5 * time.Minute}, slurmFlags: slurmFlags{queueTimeout: 12 * time.Hour, lease: time.Hour}}
}

// addFlags adds the flags of a run command.
func (j *job) addFlags(cmd *cobra.Command) {
	j.addWhere(cmd)
	j.addServer(cmd)
	j.addSlurm(cmd)
	j.addHere(cmd, runsOut|plansOnly)
	markRun(cmd)
}

// runJob fills and checks the flags of a run command, and runs the session.
func (d *deps) runJob(cmd *cobra.Command, j *job) error {
	// Presets of variables and config.toml apply only to commands that know --bootstrap.
	asked := cmd.Flags().Changed("bootstrap") && j.bootstrap
	if err := fillEnv(cmd.Flags()); err != nil {
		return err
	}
	if j.recipe == nil { // a recipe's command is known only once config.toml is read
		if _, err := j.app(); err != nil {
			return err
		}
	}
	cfg, cl, err := j.fillFlags(cmd.Context(), cmd.Flags(), d.loadSites, j.recipe)
	if err != nil {
		return err
	}
	a, err := j.app()
	if err != nil {
		return err
	}
	if asked && a.Package == "" {
		return &problem.UsageError{Message: "--bootstrap does not know what to install for this command",
			Hint: "install it once by hand, in a virtual environment for --venv; --bootstrap is for run-jupyter and run-tensorboard"}
	}
	if j.view != "" && !slices.ContainsFunc(j.serverLaunch(j.slurm).Step, func(w string) bool { return strings.HasPrefix(w, "--uenv") }) {
		return &problem.UsageError{Message: "--view " + j.view + " needs the uenv that it is a view of", Hint: "name it with --uenv NAME"}
	}
	if j.detach && j.via == slurm.ViaSalloc {
		return &problem.UsageError{Message: "--detach and --via salloc exclude each other: a request of salloc's ends with cscs",
			Hint: "leave --via out, or say --via sbatch"}
	}
	if a, err = a.WithPaths(j.path, j.ready); err != nil {
		return err
	}
	a.Port = cmp.Or(j.port, a.Port)
	j.jobLimit = usualLimit
	if limit, ok := j.slurmRequest().TimeLimit(); ok {
		j.jobLimit = limit
	}
	return d.withCluster(cmd.Context(), &j.options, cfg, cl, func(s *start) error {
		sc, err := j.sessionConfig(s, a)
		if err != nil {
			return s.reportFailure(err)
		}
		if j.noLog {
			sc.LogDir = ""
		}
		if doubt := slurm.DoubtTime(j.time); doubt != "" {
			s.emitEvent(session.Event{Event: session.EventWarning, Message: "--time " + j.time + ": " + doubt})
		}
		if j.dryRun {
			dryRun(d.io.Out, s.route, sc)
			return nil
		}
		defer s.openRoom(sc.App.Name, d.args)()
		sc.Room = s.room
		a := s.beginAttendance(registry.Record{App: sc.App.Name, Lease: int(sc.Lease / time.Second), Salloc: j.via == slurm.ViaSalloc})
		if text, ok := s.printer.(*ui.Text); ok {
			text.Login = s.route.Login().Name
		}
		if !j.detach {
			defer s.startLiveView(liveKeys{log: true, detach: true})()
		}
		err = d.run(s.signals.ctx, sc, a.handleEvent)
		a.endAttendance(err)
		return markTold(err)
	})
}

// sessionConfig makes the configuration of a session from the flags. No other function does.
func (j *job) sessionConfig(s *start, a app.App) (session.Config, error) {
	logs, err := paths.StateDir()
	if err != nil {
		return session.Config{}, err
	}
	c := session.Config{
		ID: s.id, Cluster: s.cluster.Name, Client: clientName(),
		Hops: s.route.Hops(), Chain: s.route.ChainOptions(), Dial: s.route.DialShared, NodeHop: s.route.NodeHop,
		App: a, Request: j.slurmRequest(), Launch: j.serverLaunch(j.slurm),
		LocalPort: j.localPort, Lease: j.lease, QueueTimeout: j.queueTimeout, StartTimeout: j.startTimeout, Idle: j.idle, Detach: j.detach,
		Metrics: &s.gauge, LogDir: logs, Protect: j.protect, Open: s.browserOpener(), Explain: s.explainError,
		Grace: s.signals.grace, Abandon: s.signals.abandon,
	}
	if c.Protect == nil {
		guarded := !a.OwnLogin
		c.Protect = &guarded
	}
	if j.detach {
		c.Open, c.Request.Left = nil, true
	}
	return c, nil
}
