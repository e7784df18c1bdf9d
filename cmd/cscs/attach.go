package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

func newAttachCommand(d *deps) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "attach [ID]",
		Short: "Attach to a session, of this machine or another",
		Long: `Attach to a session that runs without this terminal: one that was detached, whose process
has died, that was started on another machine, or that another terminal attends too.
Its server gets a local port here, and cscs opens it.

Ctrl-C or closing the terminal detaches again: the job keeps running for the time of its
lease. To end it, use cscs stop.

cscs looks on --cluster, or on the default cluster, for a session that this machine does
not know.`,
		Example: `  cscs attach
  cscs attach k7
  cscs attach k7 --cluster daint`,
		Args:              atMostOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.attachSession(cmd.Context(), o, args)
		},
	}
	o.addWhere(cmd)
	o.addHere(cmd, runsOut)
	markRun(cmd)
	return cmd
}

// attachSession attaches to the session that the arguments name, and serves it until it ends or is detached.
func (d *deps) attachSession(ctx context.Context, o *options, args []string) error {
	r, err := d.targetRecord(o.cluster, args)
	if err != nil {
		return err
	}
	return d.withClusterOf(ctx, r, o, func(s *start) error {
		a := &attendance{start: s}
		if text, ok := s.printer.(*ui.Text); ok {
			text.CtrlC = "Ctrl-C: leave it running; cscs stop ends it"
		}
		defer s.openRoom(r.App, d.args)()
		cfg := session.Config{
			ID: r.ID, Cluster: s.cluster.Name, Client: clientName(), Hops: s.route.Hops(), Chain: s.route.ChainOptions(), Dial: s.route.DialShared, NodeHop: s.route.NodeHop,
			LocalPort: o.localPort, Metrics: &s.gauge, Room: s.room, Protect: o.protect, Open: s.browserOpener(), Explain: s.explainError,
			Grace: s.signals.grace, Abandon: s.signals.abandon,
		}
		if cfg.LogDir, err = paths.StateDir(); err != nil {
			return s.reportFailure(err)
		}
		defer s.startLiveView(liveKeys{log: true, detach: true, stays: true})()
		err := d.attach(s.signals.ctx, cfg, func(about session.About, f slurm.Found) {
			s.id = f.ID
			s.room.SetSession(f.ID, about.App)
			a.publishRecord(registry.Record{App: about.App, Lease: about.Lease, Begun: about.Begun, State: registry.Starting, Job: f.Job})
		}, a.handleEvent)
		a.endAttendance(err)
		return markTold(err)
	})
}

// targetRecord returns the session that the arguments name. cluster is the value of --cluster.
func (d *deps) targetRecord(cluster string, args []string) (registry.Record, error) {
	prefix := ""
	if len(args) > 0 {
		prefix = args[0]
	}
	_, all, err := loadRecords()
	if err != nil {
		return registry.Record{}, err
	}
	if cluster != "" {
		all = slices.DeleteFunc(all, func(l registry.Listed) bool { return l.Cluster != cluster })
	}
	l, err := d.resolveSession(cluster, all, prefix)
	return l.Record, err
}

// resolveSession returns the session of this machine with that ID or prefix. If there is none, it returns a
// record to search on a cluster by: only the given prefix and the cluster, which is the default one for "".
func (d *deps) resolveSession(cluster string, all []registry.Listed, prefix string) (registry.Listed, error) {
	prefix = strings.ToLower(prefix) // the cluster's IDs are in lower case
	l, err := registry.Find(all, prefix)
	var unknown *registry.UnknownError
	if err == nil || !errors.As(err, &unknown) {
		return l, err
	}
	if cluster == "" {
		cfg, loadErr := d.loadSites()
		if loadErr != nil {
			return l, loadErr
		}
		cluster = cfg.Default()
	}
	if cluster == "" {
		return l, err // there is no cluster to ask
	}
	return registry.Listed{Record: registry.Record{ID: prefix, Cluster: cluster}}, nil
}
