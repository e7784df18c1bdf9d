package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

const keepCommand = "keep-connection"

// newKeepCommand makes the command of a keeper, the process that --persist leaves in the background. It dials
// as any command does, but asks no questions. Its lines on stdout are warnings for the command that started it.
// The last line is "ready".
func newKeepCommand(d *deps) *cobra.Command {
	o, route := &options{}, ""
	cmd := &cobra.Command{
		Use: keepCommand, Short: "Keep a shared connection (--persist starts it)", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := d.keepConnection(cmd, o, route)
			if err != nil {
				p := problem.At(o.cluster, err)
				if shut := (*key.PassphraseError)(nil); errors.As(err, &shut) {
					p.Message = "key " + shut.Path + " needs its passphrase"
				}
				fmt.Fprintln(d.io.Out, connect.NotKept+strings.TrimSuffix(strings.ReplaceAll(p.Message+"\n"+p.Hint, "\n", "; "), "; "))
			}
			return err
		},
	}
	o.addWhere(cmd)
	cmd.Flags().StringVar(&route, "way", "", "the hops, users and keys of the command that has started it")
	return cmd
}

// keepConnection fills the flags and runs the keeper.
func (d *deps) keepConnection(cmd *cobra.Command, o *options, route string) error {
	signals, stop := hearInterrupts(cmd.Context())
	defer stop()
	cfg, cl, err := o.fillFlags(signals.ctx, cmd.Flags(), d.loadSites, nil)
	if err != nil {
		return err
	}
	return connect.RunKeeper(signals.ctx, connect.KeeperConfig{
		Sites: cfg, Cluster: cl, Overrides: o.overrides(),
		Route: route, Unused: *cmp.Or(o.persist, new(time.Duration)), End: signals.endWithCause,
		Print: func(line string) error {
			_, err := fmt.Fprintln(d.io.Out, line)
			return err
		},
	})
}

// newKeeping returns how the connection of a command is kept, or nil without --persist.
func (s *start) newKeeping() *connect.Keeping {
	o := s.opts
	if o.persist == nil || *o.persist == 0 || s.cluster.Dir != "" { // the demo's cluster ends with its last user
		return nil
	}
	return &connect.Keeping{
		Args: func(route string) []string {
			args := []string{keepCommand, "--way=" + route, "--cluster=" + s.cluster.Name, "--persist=" + o.persist.String()}
			if o.user != "" {
				args = append(args, "--user="+o.user)
			}
			if o.identity != "" {
				args = append(args, "--identity="+o.identity)
			}
			return args
		},
		Warn: func(m string) { s.emitEvent(session.Event{Event: session.EventWarning, Message: m}) },
	}
}

// connectionRows returns the kept connections as rows of cscs ps.
func connectionRows(all []registry.Listed) (rows []ui.ConnectionRow) {
	for _, l := range all {
		rows = append(rows, ui.ConnectionRow{V: registry.RecordVersion, Kind: "connection", Cluster: l.Cluster, User: l.Login, State: l.State,
			Begun: l.Begun, Ends: l.Ends, PID: l.PID})
	}
	return rows
}

// stopConnections ends the keepers and prints the results.
func (d *deps) stopConnections(ctx context.Context, cluster string) error {
	all, err := connect.ListKept(cluster)
	if len(all) == 0 && err == nil {
		d.say("no connection is kept")
		if cluster != "" {
			err = d.mustKnow(ctx, cluster)
		}
	}
	for _, l := range all {
		result, failed := connect.StopKeeper(ctx, l)
		if failed != nil {
			err = fmt.Errorf("connection to %s as %s: its process does not answer: kill -9 %d", l.Cluster, l.Login, l.PID)
			continue
		}
		d.say(fmt.Sprintf("connection to %s as %s: %s", l.Cluster, l.Login, result))
	}
	return err
}
