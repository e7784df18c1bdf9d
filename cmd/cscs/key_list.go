package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/service"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// A listedKey is a certificate as cscs key list prints it. Other programs rely on its JSON form.
type listedKey struct {
	V      int       `json:"v"`
	Serial string    `json:"serial"`
	State  string    `json:"state"` // valid, expired, revoked
	Until  time.Time `json:"until"`
	Here   bool      `json:"here"` // it is the certificate of the key that the flags name
}

func newKeyListCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	all := false
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the keys that the service has signed for you",
		Long: `List the keys that the service has signed for you, on any machine: the valid ones, or with --all
also those that have expired or were revoked. You may have to sign in.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.withService(cmd.Context(), o, func(ctx context.Context, c *service.Current, _ *connect.Signer) error {
				return d.keyList(ctx, o, c, all)
			})
		},
	}
	o.addKey(cmd)
	g := newGroup("Which")
	g.flags.BoolVarP(&all, "all", "a", false, "also list those that are no longer valid")
	g.addToCommand(cmd)
	o.addService(cmd)
	o.addJSON(cmd, "keys to stdout, one JSON object per line")
	return cmd
}

// withService calls do with the service that can list and revoke keys.
func (d *deps) withService(ctx context.Context, o *keyOptions, do func(context.Context, *service.Current, *connect.Signer) error) error {
	signals, stop := hearFirstInterrupt(ctx)
	defer stop()
	s, err := d.newKeySigner(signals.ctx, o, signals)
	if err != nil {
		return err
	}
	if s.Service.Kind != site.SigningCSCS {
		return &problem.UsageError{Message: s.Service.Name + " can neither list nor revoke keys", Hint: "the current service can: --service cscs"}
	}
	c, err := s.CurrentService()
	if err != nil {
		return err
	}
	return do(signals.ctx, c, s)
}

// keyList prints the certificates that the service has signed for the user.
func (d *deps) keyList(ctx context.Context, o *keyOptions, c *service.Current, all bool) error {
	path, err := o.keyPath()
	if err != nil {
		return err
	}
	issued, err := c.List(ctx, all)
	if err != nil {
		return err
	}
	own := ""
	if have := key.Inspect(path, time.Now(), nil); have.Cert != nil {
		own = strconv.FormatUint(have.Cert.Serial, 10)
	}
	var rows []listedKey
	for _, i := range issued {
		r := listedKey{V: 1, Serial: i.Serial, State: "valid", Until: i.Until.UTC(), Here: i.Serial == own}
		switch {
		case !i.Revoked.IsZero():
			r.State = "revoked"
		case time.Now().After(i.Until):
			r.State = "expired"
		}
		rows = append(rows, r)
	}
	if o.json {
		enc := json.NewEncoder(d.io.Out)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(rows) == 0 {
		d.say("you have no signed key")
		return nil
	}
	w := tabwriter.NewWriter(d.io.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SERIAL\tSTATE\tUNTIL\tWHERE")
	for _, r := range rows {
		where := "-"
		if r.Here {
			where = path
		}
		fmt.Fprintln(w, r.Serial+"\t"+r.State+"\t"+r.Until.Local().Format("Mon 2 Jan 15:04")+"\t"+ui.Clean(where))
	}
	return w.Flush()
}
