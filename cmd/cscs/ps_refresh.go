package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// A refresher queries the clusters for cscs ps --refresh.
type refresher struct {
	*deps
	opts    *psOptions
	store   *registry.Store
	all     []registry.Listed          // the sessions that this machine knows
	known   map[string]registry.Listed // all by ID
	seenIDs map[string]bool            // the IDs that a cluster has reported
}

// queryClusters queries each cluster once for each account. If a cluster does not answer, its rows stay as this
// machine knows them. It returns the first error and prints the others.
func (r *refresher) queryClusters(ctx context.Context, rows []ui.Row) ([]ui.Row, error) {
	clusters, err := r.clusterNames()
	if err != nil {
		return rows, err
	}
	r.seenIDs = map[string]bool{}
	var failed error
	for _, name := range clusters {
		for _, way := range r.clusterAccounts(name) {
			found, login, err := r.queryAccount(ctx, way)
			if err != nil {
				if failed != nil { // the command returns the first error
					r.say(nameAccount(way) + " could not be asked: " + problem.At(name, err).Message)
				}
				failed = cmp.Or(failed, err)
				continue
			}
			rows = r.mergeFound(rows, way, login, found)
		}
	}
	slices.SortStableFunc(rows, func(a, b ui.Row) int { return a.Begun.Compare(b.Begun) })
	return rows, failed
}

// clusterNames returns the names of the clusters to ask, sorted.
func (r *refresher) clusterNames() ([]string, error) {
	if r.opts.cluster != "" {
		return []string{r.opts.cluster}, nil
	}
	var names []string
	for _, l := range r.all {
		names = append(names, l.Cluster)
	}
	cfg, err := r.loadSites()
	if err != nil {
		return nil, err
	}
	if name := cfg.Default(); name != "" {
		names = append(names, name)
	} else if len(names) == 0 {
		return nil, whichCluster(cfg) // the list would be incomplete
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// clusterAccounts returns one record for each user and key with which to query the cluster: those of its
// sessions, restricted by --user and --identity.
func (r *refresher) clusterAccounts(cluster string) []registry.Record {
	user, identity := r.opts.user, r.opts.identity
	var ways []registry.Record
	for _, l := range r.all {
		if l.Cluster != cluster || user != "" && user != l.User && user != l.Login {
			continue
		}
		way := registry.Record{ID: l.ID, Cluster: cluster, User: cmp.Or(user, l.User), Identity: cmp.Or(identity, l.Identity)}
		if !slices.ContainsFunc(ways, func(w registry.Record) bool { return w.User == way.User && w.Identity == way.Identity }) {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		ways = []registry.Record{{Cluster: cluster, User: user, Identity: identity}}
	}
	return ways
}

// nameAccount names the cluster, and the user if one is set.
func nameAccount(way registry.Record) string {
	if way.User == "" {
		return way.Cluster
	}
	return way.Cluster + " as " + way.User
}

// queryAccount queries one cluster as that account. It also returns the user of the login.
func (r *refresher) queryAccount(ctx context.Context, way registry.Record) (found []slurm.Found, login string, err error) {
	opts := options{whereFlags: r.opts.whereFlags, hereFlags: hereFlags{verbose: r.opts.verbose}, asGuest: true}
	err = r.withClusterOf(ctx, way, &opts, func(s *start) error {
		ctx := s.signals.ctx
		var swept []slurm.Swept
		login = s.route.Login().User
		found, swept, err = r.list(ctx, s.route)
		for _, w := range swept {
			r.say(fmt.Sprintf("session %s on %s had no owner for %s; job %s was cancelled", w.ID, way.Cluster, ui.Duration(w.Age), w.Job))
		}
		return connect.CancellationCause(ctx, err)
	})
	return found, login, err
}

// listSessions connects to the login node and lists the sessions there.
func listSessions(ctx context.Context, r *connect.Route) ([]slurm.Found, []slurm.Swept, error) {
	c, err := r.DialAsClient(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	return slurm.List(ctx, c)
}

// mergeFound merges the cluster's answer into the rows. The cluster's values count for the job and its clients,
// this laptop's for the URL. The answer does not cover sessions of accounts other than login.
func (r *refresher) mergeFound(rows []ui.Row, way registry.Record, login string, found []slurm.Found) []ui.Row {
	there, over := map[string]slurm.Found{}, map[string]slurm.Found{}
	for _, f := range found {
		switch {
		case f.Over:
			over[f.ID] = f
		case !r.seenIDs[f.ID]: // otherwise two ways lead to one account
			there[f.ID], r.seenIDs[f.ID] = f, true
		}
	}
	_ = r.store.RemoveEnded(slices.Collect(maps.Keys(there))...) // a live session has not ended
	var out []ui.Row
	for _, row := range rows {
		f, ok := there[row.ID]
		l, known := r.known[row.ID]
		switch {
		case row.Cluster != way.Cluster:
		case ok:
			row = withFound(row, f, l)
			delete(there, row.ID)
		case known && !r.seenIDs[row.ID] && isAccountOf(l.Record, way, login) && len(row.Attached) == 0 && r.store.Forget(row.ID) == nil:
			noteEnded(r.store, l.Record, howEnded(over[row.ID]), nil, "")
			continue
		}
		out = append(out, row)
	}
	for _, f := range found {
		if _, ok := there[f.ID]; ok {
			out = append(out, withFound(ui.Row{V: session.EventVersion, ID: f.ID, Cluster: way.Cluster, Attached: []string{}}, f, registry.Listed{}))
		}
	}
	return out
}

// isAccountOf reports whether the session r runs as the user login, whom way has led to. A record of an older
// cscs does not name its user; then user and key must be those of way.
func isAccountOf(r, way registry.Record, login string) bool {
	if r.Login != "" {
		return r.Login == login
	}
	return r.User == way.User && r.Identity == way.Identity
}

// howEnded says how a session ended, as its runner or Slurm reports it.
func howEnded(f slurm.Found) string {
	if f.Ended != nil {
		return f.Ended.How()
	}
	return "it is no longer on the cluster"
}

// noteEnded records the end of a session for cscs ps and bug reports. problemID is the problem that ended it, or "".
// noteEnded ignores errors.
func noteEnded(store *registry.Store, r registry.Record, reason string, code *int, problemID string) {
	if r.Job == "" || r.Cluster == demo.Name {
		return // no job, or a demo, which must leave nothing here
	}
	_ = store.NoteEnded(registry.Ended{ID: r.ID, App: r.App, Cluster: r.Cluster, Job: r.Job, Partition: r.Partition, Reason: reason, Code: code, Problem: problemID, Ended: time.Now()})
}

// withFound returns the row with the cluster's answer f. l is what this machine knows of the session.
func withFound(r ui.Row, f slurm.Found, l registry.Listed) ui.Row {
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
	r.Attached = append(r.Attached, remoteClients(f.Clients, l)...)
	if !here {
		r.Reason, r.Start, r.AsOf = "", nil, nil
		switch {
		case f.State == "PENDING":
			r.State, r.Reason = registry.Queued, f.Reason
			if !f.Start.IsZero() {
				start := f.Start.UTC()
				r.Start = &start
			}
		case f.Left && len(r.Attached) == 0:
			r.State = registry.Detached
		case f.Serving && len(r.Attached) == 0:
			r.State = registry.Unattended
		case f.Serving:
			r.State = registry.Ready
		default:
			r.State = strings.ToLower(f.State)
		}
	}
	return r.LeftAt(time.Now())
}

// remoteClients returns the clients on other machines. It omits the processes here, and a former one that could
// not report its end to the cluster.
func remoteClients(clients []string, l registry.Listed) []string {
	return slices.DeleteFunc(slices.Clone(clients), func(c string) bool {
		return c == clientNameOf(l.PID) || slices.ContainsFunc(l.Here, func(pid int) bool { return c == clientNameOf(pid) })
	})
}
