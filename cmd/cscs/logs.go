package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/live"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

func newLogsCommand(d *deps) *cobra.Command {
	o := &options{}
	follow := false
	cmd := &cobra.Command{
		Use:   "logs [ID]",
		Short: "Show the log of a session's server",
		Long: `Show what the server of a session has written, its newest 64 MiB. Of a session that has
ended, this machine keeps the log; its ID is then needed in full.`,
		Args:              atMostOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			l, err := theSession(args)
			var unknown *live.UnknownError
			if errors.As(err, &unknown) && len(args) > 0 {
				if kept, ok := keptLog(args[0]); ok {
					return copyFile(d.io.Out, kept)
				}
			}
			if err != nil {
				return err
			}
			return d.wayTo(cmd.Context(), l.Record, o, func(s *start) error {
				err := s.showLog(s.signals.ctx, d.io.Out, l.ID, 0, follow)
				if errors.Is(err, session.ErrInterrupted) && follow {
					return nil // that is how one stops to look
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is added, until the session ends or Ctrl-C")
	g := newGroup("Where")
	o.addNoSign(g)
	g.done(cmd)
	o.addVerbose(cmd)
	return cmd
}

// followEvery is how often the cluster looks for what is new in a log.
const followEvery = time.Second

// showLog shows the log of a session's server, or no more than its last lines, until ctx
// ends.
func (s *start) showLog(ctx context.Context, to io.Writer, id string, last int, follow bool) error {
	c, err := s.way.visit(ctx)
	if err != nil {
		return cancelled(ctx, err)
	}
	defer c.Close()
	every := time.Duration(0)
	if follow {
		every = followEvery
	}
	return cancelled(ctx, slurm.Log(ctx, c, id, last, every, to))
}

// cancelled is the cause of ctx's end, if that is what err comes from.
func cancelled(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// keptLog is the log that this machine has of a session that has ended.
func keptLog(id string) (path string, ok bool) {
	dir, err := stateDir()
	if err != nil || id != filepath.Base(id) {
		return "", false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		if len(e.Name()) > len(id) && e.Name()[:len(id)+1] == id+"-" && filepath.Ext(e.Name()) == ".log" {
			return filepath.Join(dir, e.Name()), true
		}
	}
	return "", false
}

func copyFile(to io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}
