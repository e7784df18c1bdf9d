package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/live"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// psOptions are those of cscs ps.
type psOptions struct {
	options
	refresh bool
}

func newPsCommand(d *deps) *cobra.Command {
	o := &psOptions{}
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List live sessions",
		Long: `List the live sessions that this machine knows of, at once and without asking anybody.

With --refresh each cluster is asked once: those of the sessions known here and the default
one, or that of --cluster alone. Sessions that were begun elsewhere are then listed too, and
what nobody has owned for longer than its lease is cancelled.`,
		Example: `  cscs ps
  cscs ps --refresh --cluster daint
  cscs ps --json | jq -r .id`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.ps(cmd.Context(), o)
		},
	}
	g := newGroup("Which")
	g.flags.BoolVar(&o.refresh, "refresh", false, "ask the clusters, too")
	g.done(cmd)
	o.addWhere(cmd)
	g = newGroup("Here")
	g.flags.BoolVar(&o.json, "json", false, "write sessions to stdout, one JSON object a line")
	g.flags.BoolVarP(&o.verbose, "verbose", "v", false, "tell more")
	g.done(cmd)
	completeCluster(cmd)
	return cmd
}

func (d *deps) ps(ctx context.Context, o *psOptions) error {
	store, all, err := records()
	if slices.ContainsFunc(all, func(l live.Listed) bool { return l.Cluster == demo.Name && !l.Attended }) {
		d.forgetGoneDemos()
		store, all, err = records()
	}
	if err != nil {
		return err
	}
	rows, ways, known := []ui.Row{}, map[string]live.Record{}, map[string]live.Listed{}
	for _, l := range all {
		rows = append(rows, rowOf(l))
		known[l.ID] = l
		ways[l.Cluster] = l.Record // it went there: this is a way
	}
	if o.refresh {
		r := &refreshing{deps: d, opts: o, store: store, ways: ways, known: known}
		var usage *problem.UsageError
		if rows, err = r.all(ctx, rows); errors.As(err, &usage) {
			return err
		}
	}
	if name := one(o.cluster); name != "" {
		rows = slices.DeleteFunc(rows, func(r ui.Row) bool { return r.Cluster != name })
	}
	if o.json {
		enc := json.NewEncoder(d.io.Out)
		enc.SetEscapeHTML(false)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return err
	}
	if len(rows) > 0 || err == nil { // else nobody knows that there is none
		ui.Table(d.io, rows, time.Now())
	}
	return err
}

// rowOf is a session as this laptop knows it.
func rowOf(l live.Listed) ui.Row {
	r := ui.Row{V: session.EventVersion, ID: l.ID, App: l.App, Cluster: l.Cluster, State: l.State, Reason: l.Reason,
		Job: l.Job, Node: l.Node, URL: l.URL, Begun: l.Begun, Ends: l.Ends, Attached: []string{}}
	for _, pid := range l.Here {
		r.Attached = append(r.Attached, hereName(pid))
	}
	if !l.Attended {
		r.URL = "" // it leads nowhere
	}
	if l.Expired {
		r.Reason = "over by this machine's clock; cscs ps --refresh asks the cluster"
	}
	return r.LeftAt(time.Now())
}

// hereName is a process of this machine that attends a session.
func hereName(pid int) string { return fmt.Sprintf("here (pid %d)", pid) }

// A refreshing asks the clusters.
type refreshing struct {
	*deps
	opts  *psOptions
	store *live.Store
	ways  map[string]live.Record // a session that went to the cluster
	known map[string]live.Listed // the sessions that this machine knows
}

// all asks each cluster once. Of one that does not answer, the sessions stay as they are
// known here; the first error is returned.
func (r *refreshing) all(ctx context.Context, rows []ui.Row) ([]ui.Row, error) {
	clusters := slices.Collect(maps.Keys(r.ways))
	if name := one(r.opts.cluster); name != "" {
		clusters = []string{name}
	} else if cfg, err := r.sites(); err != nil {
		return rows, err
	} else if name := cfg.Default(); name != "" {
		clusters = append(clusters, name)
	} else if len(clusters) == 0 {
		return rows, whichCluster(cfg) // to say that there is none would be a guess
	}
	slices.Sort(clusters)
	var failed error
	for _, name := range slices.Compact(clusters) {
		found, err := r.ask(ctx, name)
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		rows = r.merge(rows, name, found)
	}
	slices.SortStableFunc(rows, func(a, b ui.Row) int { return a.Begun.Compare(b.Begun) })
	return rows, failed
}

// ask asks one cluster.
func (r *refreshing) ask(ctx context.Context, cluster string) (found []slurm.Found, err error) {
	known := r.ways[cluster]
	known.Cluster = cluster
	opts := options{user: r.opts.user, identity: r.opts.identity, noSign: r.opts.noSign, verbose: r.opts.verbose, visits: true}
	err = r.wayTo(ctx, known, &opts, func(s *start) error {
		ctx := s.signals.ctx
		c, err := s.way.visit(ctx)
		if err != nil {
			return cancelled(ctx, err)
		}
		defer c.Close()
		var swept []slurm.Swept
		found, swept, err = slurm.List(ctx, c)
		for _, w := range swept {
			r.say(fmt.Sprintf("session %s on %s: nobody had owned it for %s: job %s is cancelled", w.ID, cluster, ui.Duration(w.Age), w.Job))
		}
		return cancelled(ctx, err)
	})
	return found, err
}

// merge brings what the cluster says into the rows: it knows best of the job and of who is
// attached, this laptop of its own URL.
func (r *refreshing) merge(rows []ui.Row, cluster string, found []slurm.Found) []ui.Row {
	there := map[string]slurm.Found{}
	for _, f := range found {
		if !f.Over {
			there[f.ID] = f
		}
	}
	var out []ui.Row
	for _, row := range rows {
		f, ok := there[row.ID]
		switch {
		case row.Cluster != cluster:
		case ok:
			row = withFound(row, f, r.known[row.ID])
			delete(there, row.ID)
		case len(row.Attached) == 0 && r.store.Forget(row.ID) == nil:
			continue // it is over
		}
		out = append(out, row)
	}
	for _, f := range found {
		if _, ok := there[f.ID]; ok {
			out = append(out, withFound(ui.Row{V: session.EventVersion, ID: f.ID, Cluster: cluster, Attached: []string{}}, f, live.Listed{}))
		}
	}
	return out
}

// withFound takes into the row what the cluster says of the session, of which this machine
// knows l.
func withFound(r ui.Row, f slurm.Found, l live.Listed) ui.Row {
	about := session.ParseAbout(f.About)
	r.App, r.Job = cmp.Or(r.App, about.App, "?"), f.Job
	if r.Begun.IsZero() {
		r.Begun = about.Begun
	}
	if !f.Ends.IsZero() {
		ends := f.Ends.UTC()
		r.Ends = &ends
	}
	if len(f.Nodes) > 0 {
		r.Node = f.Nodes[0]
	}
	here := len(r.Attached) > 0
	r.Attached = append(r.Attached, elsewhere(f.Clients, l)...)
	if !here {
		r.Reason = ""
		switch {
		case f.State == "PENDING":
			r.State, r.Reason = live.Queued, f.Reason
		case f.Left && len(r.Attached) == 0:
			r.State = live.Detached
		case f.Serving && len(r.Attached) == 0:
			r.State = live.Unattended
		case f.Serving:
			r.State = live.Ready
		default:
			r.State = strings.ToLower(f.State)
		}
	}
	return r.LeftAt(time.Now())
}

// elsewhere are those of the clients that are no processes of this machine: neither one that
// attends the session here, nor one that did, and could not tell the cluster that it went.
func elsewhere(clients []string, l live.Listed) []string {
	return slices.DeleteFunc(slices.Clone(clients), func(c string) bool {
		return c == clientNameOf(l.PID) || slices.ContainsFunc(l.Here, func(pid int) bool { return c == clientNameOf(pid) })
	})
}
