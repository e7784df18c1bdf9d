package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/live"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

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
			if failed != nil { // the first is the command's own error
				r.say(name + " could not be asked: " + problem.At(name, err).Message)
			}
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
	there, over := map[string]slurm.Found{}, map[string]slurm.Found{}
	for _, f := range found {
		if f.Over {
			over[f.ID] = f
		} else {
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
			noteEnded(r.store, r.known[row.ID].Record, howEnded(over[row.ID]), nil)
			continue
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

// howEnded says how a session ended, as its runner or Slurm tells afterwards.
func howEnded(f slurm.Found) string {
	if f.Ended != nil {
		return f.Ended.How()
	}
	return "it is not on the cluster any more"
}

// noteEnded notes a session that has ended, for cscs ps. What can't be noted is no reason to fail.
func noteEnded(store *live.Store, r live.Record, reason string, code *int) {
	if r.Job == "" || r.Cluster == demo.Name {
		return // it never had a job, or is to leave nothing here
	}
	_ = store.NoteEnded(live.Ended{ID: r.ID, App: r.App, Cluster: r.Cluster, Job: r.Job, Partition: r.Partition, Reason: reason, Code: code, Ended: time.Now()})
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
		r.Reason, r.Start, r.AsOf = "", nil, nil
		switch {
		case f.State == "PENDING":
			r.State, r.Reason = live.Queued, f.Reason
			if !f.Start.IsZero() {
				start := f.Start.UTC()
				r.Start = &start
			}
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
