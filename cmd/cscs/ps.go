package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// psOptions are the flags of cscs ps.
type psOptions struct {
	options
	refresh, ended bool
}

func newPsCommand(d *deps) *cobra.Command {
	o := &psOptions{}
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List live sessions",
		Long: `List the live sessions that this machine knows, at once and without a connection.

With --refresh, cscs asks each cluster once: the clusters of the known sessions and the default
one, or only that of --cluster. If sessions run there as several users, it asks as each of them,
or only as --user. The list then also has sessions that were started on other machines. A session
that has had no owner for longer than its lease is cancelled.

A connection that --persist keeps has a line after the list. With --json, it is an object
whose "kind" is "connection"; sessions have no "kind".

After the list, cscs prints the sessions that ended within a day. With --ended, it lists those
of the last week instead of the live ones: when each ended, why, and with which exit code.`,
		Example: `  cscs ps
  cscs ps --refresh --cluster daint
  cscs ps --json | jq -r .id`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.printSessions(cmd.Context(), o)
		},
	}
	g := newGroup("Which")
	g.flags.BoolVar(&o.refresh, "refresh", false, "also ask the clusters")
	g.flags.BoolVar(&o.ended, "ended", false, "list sessions that have ended")
	g.addToCommand(cmd)
	o.addWhere(cmd)
	g = newGroup("Here")
	g.flags.BoolVar(&o.json, "json", false, "write sessions to stdout, one JSON object per line")
	g.flags.BoolVarP(&o.verbose, "verbose", "v", false, "print more, and the ID of a problem")
	g.addToCommand(cmd)
	completeCluster(cmd)
	return cmd
}

// printSessions prints the sessions as the flags of cscs ps say, with --refresh as the clusters report them.
func (d *deps) printSessions(ctx context.Context, o *psOptions) error {
	if o.refresh && o.ended {
		return &problem.UsageError{Message: "--refresh and --ended exclude each other: only this machine knows the sessions that have ended", Hint: "see cscs ps --help"}
	}
	store, all, err := loadRecords()
	if slices.ContainsFunc(all, func(l registry.Listed) bool { return l.Cluster == demo.Name && !l.Attended }) {
		d.forgetGoneDemos()
		store, all, err = loadRecords()
	}
	if err != nil {
		return err
	}
	rows, known := []ui.Row{}, map[string]registry.Listed{}
	for _, l := range all {
		rows = append(rows, rowOf(l))
		known[l.ID] = l
	}
	if o.refresh {
		r := &refresher{deps: d, opts: o, store: store, all: all, known: known}
		var usage *problem.UsageError
		if rows, err = r.queryClusters(ctx, rows); errors.As(err, &usage) {
			return err
		}
	}
	ended := endedRows(store)
	if o.cluster != "" {
		rows = slices.DeleteFunc(rows, func(r ui.Row) bool { return r.Cluster != o.cluster })
		ended = slices.DeleteFunc(ended, func(r ui.EndedRow) bool { return r.Cluster != o.cluster })
		if len(rows) == 0 && len(ended) == 0 && !o.refresh {
			if err := d.mustKnow(ctx, o.cluster); err != nil {
				return err
			}
		}
	}
	kept, keptErr := connect.ListKept(o.cluster)
	err = cmp.Or(err, keptErr)
	switch {
	case o.ended && o.json:
		return printJSON(d.io.Out, ended)
	case o.ended:
		ui.EndedTable(d.io, ended, time.Now())
		return nil
	case o.json:
		return cmp.Or(printJSON(d.io.Out, rows), printJSON(d.io.Out, connectionRows(kept)), err)
	}
	if len(rows) > 0 || err == nil { // on error there may be sessions that are not listed
		ui.Table(d.io, rows, time.Now())
	}
	ui.Connections(d.io, connectionRows(kept), time.Now())
	ui.EndedNotes(d.io, ended, time.Now())
	return err
}

// printJSON writes one JSON object per line.
func printJSON[R any](out io.Writer, rows []R) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// mustKnow returns an error if this machine does not know the cluster. An empty list would hide a misspelt
// name.
func (d *deps) mustKnow(ctx context.Context, cluster string) error {
	cfg, err := d.loadSites()
	if err != nil || cfg.Makes(cluster) {
		return err
	}
	_, err = cfg.Cluster(ctx, cluster)
	return err
}

// endedRows returns the sessions that have ended, as this machine recorded them.
func endedRows(store *registry.Store) []ui.EndedRow {
	rows := []ui.EndedRow{}
	for _, e := range store.Ended(time.Now()) {
		rows = append(rows, ui.EndedRow{V: session.EventVersion, ID: e.ID, App: e.App, Cluster: e.Cluster, State: "ended",
			Reason: e.Reason, Job: e.Job, Code: e.Code, Ended: e.Ended})
	}
	return rows
}

// rowOf returns the row of a session as this laptop knows it.
func rowOf(l registry.Listed) ui.Row {
	r := ui.Row{V: session.EventVersion, ID: l.ID, App: l.App, Cluster: l.Cluster, State: l.State, Reason: l.Reason,
		Job: l.Job, Node: l.Node, URL: l.URL, Start: l.Start, Begun: l.Begun, Ends: l.Ends, Attached: []string{}}
	for _, pid := range l.Here {
		r.Attached = append(r.Attached, hereName(pid))
	}
	if !l.Attended {
		r.URL = "" // no process serves it
	}
	if !l.Attended && l.State == registry.Queued {
		seen := l.Seen
		r.AsOf = &seen
	}
	if l.Expired {
		r.Reason = "over by this machine's clock; cscs ps --refresh asks the cluster"
	}
	return r.LeftAt(time.Now())
}

// hereName names a process of this machine that attends a session.
func hereName(pid int) string { return fmt.Sprintf("here (pid %d)", pid) }
