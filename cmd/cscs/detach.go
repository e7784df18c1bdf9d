package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
)

func newDetachCommand(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "detach [ID]",
		Short: "Leave a session running, for the time of its lease",
		Long: `Leave a session running: the process on this machine that attends it ends. The job runs
until cscs attach takes it over again, on this machine or another, or until its lease
is over.`,
		Example: `  cscs detach
  cscs attach k7`,
		Args:              atMostOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := theSession(args)
			switch {
			case err != nil:
				return err
			case !l.Attended && l.State != registry.Left:
				d.say("session " + l.ID + " is already detached: no process attends it here; attach to it again: cscs attach " + l.ID)
				return nil
			case l.Attended && l.Tied():
				return &registry.TiedError{ID: l.ID}
			case !l.Attended:
				return &registry.UnattendedError{ID: l.ID}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), stopTimeout)
			defer cancel()
			out, err := registry.Reach(l.Record).Detach(ctx)
			switch {
			case err != nil:
				return err
			case out.Code != problem.OK:
				return &registry.EndedBadlyError{ID: l.ID, Outcome: out}
			case !out.Detached:
				return &registry.NotLeftError{ID: l.ID, Reason: out.Reason}
			}
			d.say("session " + l.ID + " " + out.Reason)
			return nil
		},
	}
}
