package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/sessionid"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

func newLogsCommand(d *deps) *cobra.Command {
	o := &options{}
	follow := false
	cmd := &cobra.Command{
		Use:   "logs [ID]",
		Short: "Show the log of a session's server",
		Long: `Show the newest 64 MiB of the output of a session's server. This machine keeps the log of a
session that has ended: pass its whole ID. If the session ended while no process attended it,
the cluster keeps the log for a week: name the cluster with --cluster. If there is no log yet,
the command prints the reason.`,
		Args:              atMostOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.showSessionLog(cmd.Context(), o, args, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow the log until the session ends or Ctrl-C")
	o.addWhere(cmd)
	o.addVerbose(cmd)
	completeCluster(cmd)
	return cmd
}

// showSessionLog prints this machine's log of an ended session, otherwise the log on the cluster.
func (d *deps) showSessionLog(ctx context.Context, o *options, args []string, follow bool) error {
	to, done := ui.Log(d.io)
	defer done()
	if len(args) > 0 {
		if kept, ok := keptLog(args[0]); ok {
			return copyFile(to, kept)
		}
	}
	r, err := d.targetRecord(o.cluster, args)
	if err != nil {
		return err
	}
	o.asGuest = true
	return d.withClusterOf(ctx, r, o, func(s *start) error {
		err := s.printLog(s.signals.ctx, to, r, follow)
		if errors.Is(err, session.ErrInterrupted) && follow {
			return nil // Ctrl-C ends --follow
		}
		return err
	})
}

// A countingWriter counts the bytes written through it.
type countingWriter struct {
	io.Writer
	n int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.n += int64(n)
	return n, err
}

// printLog prints the log of the session r, or of the one that the cluster finds by r.ID. If there is nothing
// to print, it says why.
func (s *start) printLog(ctx context.Context, to io.Writer, r registry.Record, follow bool) error {
	c, err := s.route.DialAsClient(ctx)
	if err != nil {
		return connect.CancellationCause(ctx, err)
	}
	defer c.Close()
	var f slurm.Found // empty: not known
	if r.State == "" || follow && r.State == registry.Queued {
		f, err = session.Find(ctx, c, r.ID, s.cluster.Name)
		var ended *session.EndedError
		if errors.As(err, &ended) {
			f.ID, f.Over, err = ended.ID, true, nil
		}
		if err != nil {
			return connect.CancellationCause(ctx, err)
		}
		r.ID = f.ID
		if follow && f.State == "PENDING" {
			s.deps.say(nothingLogged(f))
		}
	}
	counted := &countingWriter{Writer: to}
	err = showLogOver(ctx, c, counted, r.ID, 0, follow)
	if err != nil || counted.n > 0 || follow {
		return connect.CancellationCause(ctx, err)
	}
	if f.ID == "" {
		if f, err = session.Find(ctx, c, r.ID, s.cluster.Name); err != nil {
			f = slurm.Found{ID: r.ID, Over: true}
		}
	}
	s.deps.say(nothingLogged(f))
	return nil
}

// nothingLogged says why the log of a session is empty.
func nothingLogged(f slurm.Found) string {
	switch {
	case f.Over:
		return "the server of session " + f.ID + " has written nothing"
	case f.State != "PENDING":
		return "the server of session " + f.ID + " has written nothing so far"
	}
	why := f.Reason
	if f.Start.After(time.Now()) {
		why += ", expected to start " + ui.At(f.Start, time.Now())
	}
	return "session " + f.ID + " is queued (" + why + "): its server has not started, and has written nothing"
}

// followEvery is how often the login node checks the log for new lines.
const followEvery = time.Second

// showLog prints the log of a session's server, or its last lines. With follow it continues until ctx ends.
func (s *start) showLog(ctx context.Context, to io.Writer, id string, last int, follow bool) error {
	c, err := s.route.DialAsClient(ctx)
	if err != nil {
		return connect.CancellationCause(ctx, err)
	}
	defer c.Close()
	return connect.CancellationCause(ctx, showLogOver(ctx, c, to, id, last, follow))
}

func showLogOver(ctx context.Context, remote slurm.Remote, to io.Writer, id string, last int, follow bool) error {
	every := time.Duration(0)
	if follow {
		every = followEvery
	}
	return slurm.Log(ctx, remote, id, last, every, to)
}

// keptLog returns the path of this machine's log of an ended session.
func keptLog(id string) (path string, ok bool) {
	dir, err := paths.StateDir()
	if err != nil || !sessionid.IsID(id) {
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
