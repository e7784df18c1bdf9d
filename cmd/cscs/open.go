package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/live"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// openAttended opens a session that another process attends. That is asked for the way when the
// browser has come, and once before, so that its errors are told.
func openAttended(ctx context.Context, p *live.Peer) error {
	url, cookies, err := p.Enter(ctx)
	if err != nil {
		return err
	}
	return browser.Open(ctx, func() browser.Way {
		if u, c, err := p.Enter(ctx); err == nil {
			url, cookies = u, c
		}
		return browser.Way{URL: url, Cookies: cookies}
	})
}

func newOpenCommand(d *deps) *cobra.Command {
	noBrowser := false
	cmd := &cobra.Command{
		Use:   "open [ID]",
		Short: "Open a session in the browser again",
		Long: `Open a session that this machine attends in the browser again, and print its address:
with the way in on a terminal, without on a pipe. While it is queued or starting, that is
the page that tells how far it is, and becomes the server.`,
		Args:              atMostOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attendedHere(args)
			if err != nil {
				return err
			}
			link, err := live.Reach(l.Record).Link(cmd.Context())
			if err != nil {
				return err
			}
			if link == "" {
				return &live.NotReadyError{ID: l.ID, State: l.State}
			}
			ui.Link(d.io, l.URL, link)
			if noBrowser || !browser.CanOpen() {
				return nil
			}
			return openAttended(cmd.Context(), live.Reach(l.Record))
		},
	}
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "print the URL only")
	return cmd
}
