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
		Long: `Open a session that this machine attends in the browser again, and print its address:
with the way in on a terminal, without on a pipe. While it is queued or starting, that is
the page that tells how far it is, and becomes the server.

Your own programs need no link: the address answers them (see --protect of cscs run).
Where the system does not say which user asks, as for a Windows program that asks WSL2,
and for programs of root's, --print gives them the link; it sets a cookie. Each person who has the link
gets in until the session ends.`,
		Example: `  cscs open
  curl -s -c jar -o /dev/null -L "$(cscs open --print k7)" && curl -b jar http://127.0.0.1:6006/data`,
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
	cmd.Flags().BoolVar(&printLink, "print", false, "print the link that lets in, to a pipe or file too, and open nothing")
	return cmd
}
