package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// openAttended opens a session that another process attends. It asks that process for a way when the browser
// comes. It also asks once before, so that it can report errors.
func openAttended(ctx context.Context, p *registry.Peer) error {
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
	noBrowser, printLink := false, false
	cmd := &cobra.Command{
		Use:   "open [ID]",
		Short: "Open a session in the browser again",
		Long: `Open a session that this machine attends in the browser again, and print its address: with
the secret of its link in a terminal, without it to a pipe. While the session is queued or
starting, a page shows its progress and is replaced by the server.

Your own programs need no link: the address answers them (see --protect of cscs run).
If the system does not report which user asks, as for a Windows program that connects to WSL2,
and for root's programs, --print gives them the link; it sets a cookie. Everyone who has the link
can use the session until it ends.`,
		Example: `  cscs open
  curl -s -c jar -o /dev/null -L "$(cscs open --print k7)" &&
      curl -b jar http://127.0.0.1:6006/data`,
		Args:              atMostOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := attendedHere(args)
			if err != nil {
				return err
			}
			link, err := registry.Reach(l.Record).Link(cmd.Context())
			if err != nil {
				return err
			}
			if link == "" {
				return &registry.NotReadyError{ID: l.ID, State: l.State}
			}
			if printLink {
				_, err := fmt.Fprintln(d.io.Out, ui.Clean(link))
				return err
			}
			ui.Link(d.io, l.URL, link)
			if noBrowser || !browser.CanOpen() {
				return nil
			}
			return openAttended(cmd.Context(), registry.Reach(l.Record))
		},
	}
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "print the URL only")
	cmd.Flags().BoolVar(&printLink, "print", false, "print the link with its secret, also to a pipe or file, and open no browser")
	return cmd
}
