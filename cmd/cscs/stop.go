package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/sessionid"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

func newStopCommand(d *deps) *cobra.Command {
	o := &options{}
	all, connections := false, false
	cmd := &cobra.Command{
		Use:   "stop [ID…]",
		Short: "End sessions, from any terminal",
		Long: `End sessions, from any terminal: cscs asks the server to end, cancels the job, and checks
that the job is gone. ID is the ID of a session or its beginning; the only session
needs none. cscs looks on --cluster, or on the default cluster, for a session that this
machine does not know.`,
		Example: `  cscs stop
  cscs stop k7
  cscs stop --all
  cscs stop --connections`,
		Args:              anyIDs,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			if connections {
				if all || len(args) > 0 {
					return &problem.UsageError{Message: "--connections ends no session: it excludes an ID and --all", Hint: "see cscs stop --help"}
				}
				return d.stopConnections(cmd.Context(), o.cluster)
			}
			// As scancel does, stop the known sessions even if others are unknown.
			targets, first := d.stopTargets(cmd.Context(), o.cluster, args, all)
			if all && len(targets) == 0 && first == nil {
				d.say("no live session")
			}
			for _, l := range targets {
				if err := d.stopSession(cmd.Context(), l, o); err != nil && first == nil {
					first = err
				}
			}
			return first
		},
	}
	g := newGroup("Which")
	g.flags.BoolVar(&all, "all", false, "end every live session of this machine")
	g.flags.BoolVar(&connections, "connections", false, "end no session, but close the connections that --persist keeps, once they are unused")
	g.addToCommand(cmd)
	o.addWhere(cmd)
	o.addVerbose(cmd)
	completeCluster(cmd)
	cmd.Annotations = map[string]string{showsExitStatus: "yes"}
	return cmd
}

// stopTargets returns the sessions to stop, and an error for the first unknown one. With --all there may be
// none. cluster is the value of --cluster.
func (d *deps) stopTargets(ctx context.Context, cluster string, args []string, all bool) ([]registry.Listed, error) {
	if all && len(args) > 0 {
		return nil, &problem.UsageError{Message: "--all and an ID exclude each other", Hint: "see cscs stop --help"}
	}
	_, have, err := loadRecords()
	if cluster != "" && err == nil {
		if !slices.ContainsFunc(have, func(l registry.Listed) bool { return l.Cluster == cluster }) {
			if err := d.mustKnow(ctx, cluster); err != nil {
				return nil, err
			}
		}
		have = slices.DeleteFunc(have, func(l registry.Listed) bool { return l.Cluster != cluster })
	}
	if err != nil || all {
		return have, err
	}
	if len(args) == 0 {
		args = []string{""}
	}
	var targets []registry.Listed
	var first error
	seen := map[string]bool{}
	for _, prefix := range args {
		l, err := d.resolveSession(cluster, have, prefix)
		switch {
		case errors.As(err, new(*registry.UnknownError)):
			first = cmp.Or(first, err)
			continue
		case err != nil:
			return nil, err
		}
		if !seen[l.ID] {
			seen[l.ID] = true
			targets = append(targets, l)
		}
	}
	return targets, first
}

// stopTimeout is how long a process that still responds may take to end its session: 90 s for its teardown and
// 20 s for the clients of its connection.
const stopTimeout = 2 * time.Minute

// stopSession ends one session: by the process that attends it, otherwise over its own connection.
func (d *deps) stopSession(ctx context.Context, l registry.Listed, o *options) error {
	stuck := false // the attending process lives but does not end the session
	if l.Attended {
		asked, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		out, err := registry.Reach(l.Record).Stop(asked)
		var gone *registry.GoneError
		var silent *registry.SilentError
		switch {
		case err == nil && out.Detached:
			// It was detaching before it received the request.
			d.say("the process that attended session " + l.ID + " has just left it: ending the session directly")
		case err == nil && (out.Code == problem.OK || out.Code == problem.Interrupted):
			// Its user may have pressed Ctrl-C first; the session has ended in any case.
			d.say("session " + l.ID + " " + out.Reason)
			return nil
		case err == nil:
			return &registry.EndedBadlyError{ID: l.ID, Outcome: out}
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &silent):
			stuck = true
			d.say(err.Error() + ": ending the session directly")
		case errors.As(err, &gone) && (errors.Is(err, peer.ErrStranger) || errors.Is(err, owndir.ErrShared)):
			stuck = true
			d.say("the control socket of session " + l.ID + " is not trusted: " + gone.Err.Error() + ": ending the session directly")
		case !errors.As(err, &gone):
			stuck = true
			d.say(fmt.Sprintf("the process that attends session %s (pid %d) has not ended it within %s: ending it directly", l.ID, l.PID, ui.Duration(stopTimeout)))
		}
		// The process has died or does not help, so this process ends the session.
	}
	o.asGuest = true
	return d.withClusterOf(ctx, l.Record, o, func(s *start) error {
		logs, err := paths.StateDir()
		if err != nil {
			return s.reportFailure(err)
		}
		var last session.Event
		// Under another account a missing session would count as ended, so it must be found first.
		find := l.State == "" || !isAccountOf(l.Record, registry.Record{User: s.opts.user, Identity: s.opts.identity}, s.route.Login().User)
		err = d.end(s.signals.ctx, session.Config{
			ID: l.ID, Job: l.Job, Cluster: s.cluster.Name, Hops: s.route.Hops(), Chain: s.route.ChainOptions(), Dial: s.route.DialShared, App: app.App{Name: l.App},
			Lease: time.Duration(l.Lease) * time.Second, LogDir: logs, Explain: s.explainError,
			Grace: s.signals.grace, Abandon: s.signals.abandon,
		}, find, func(e session.Event) {
			last = e
			s.showEvent(e)
		})
		if err != nil {
			return markTold(err)
		}
		if !sessionid.IsID(l.ID) {
			return nil // only the cluster knows the session, so there is no record here
		}
		noteEnded(registry.Open(logs), l.Record, last.Reason, last.Code, "")
		err = registry.Open(logs).Forget(l.ID)
		var attended *registry.AttendedError
		if !errors.As(err, &attended) {
			return markTold(err)
		}
		if stuck { // otherwise it is another process, which ends with the session
			s.emitEvent(session.Event{Event: session.EventWarning, Message: fmt.Sprintf(
				"the process that attended session %s (pid %d) is still there: it ends by itself when it goes on (fg in its terminal)", l.ID, l.PID)})
		}
		return nil
	})
}
