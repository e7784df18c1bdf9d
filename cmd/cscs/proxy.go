package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/sshconfig"
	"github.com/alps-tunnel/cscs/session"
)

func newProxyCommand(d *deps) *cobra.Command {
	o := &options{askAs: "cscs"} // ssh may ask the same question next
	cmd := &cobra.Command{
		Use:   "proxy ID",
		Short: "Connect stdin and stdout with a session's node, for ssh",
		Long: `Connect standard input and output to the sshd of a session's node. ssh runs this command
as its ProxyCommand for the hosts cscs-ID: see cscs ssh-config.

It shares the connection of a process on this machine that attends a session there, if there is
one. cscs looks on --cluster, or on the default cluster, for a session that this machine does not
know.`,
		Args:              exactlyOneID,
		ValidArgsFunction: completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.proxyToNode(cmd.Context(), o, args[0])
		},
	}
	o.addWhere(cmd)
	o.addVerbose(cmd)
	completeCluster(cmd)
	return cmd
}

// exactlyOneID is the check of commands for exactly one session. It accepts a host name cscs-ID too.
func exactlyOneID(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || args[0] == "" {
		return &problem.UsageError{Message: "no session given", Hint: "see " + cmd.CommandPath() + " --help"}
	}
	if len(args) > 1 {
		return atMostOneID(cmd, args)
	}
	if id := idOfHost(args[0]); id != "" { // otherwise proxyToNode says what is missing
		return anyIDs(cmd, []string{id})
	}
	return nil
}

// idOfHost returns the ID in a host name cscs-ID, or host itself.
func idOfHost(host string) string {
	if n := len(sshconfig.Prefix); len(host) >= n && strings.EqualFold(host[:n], sshconfig.Prefix) {
		return host[n:]
	}
	return host
}

// proxyToNode connects stdin and stdout with the sshd of the session's node.
func (d *deps) proxyToNode(ctx context.Context, o *options, host string) error {
	id := strings.ToLower(idOfHost(host)) // checked by exactlyOneID; ssh may change the case
	if id == "" {
		return &problem.UsageError{Message: fmt.Sprintf("%q lacks the ID of a session, or its beginning", host), Hint: "list them: cscs ps; then, for example, ssh " + sshconfig.Prefix + "k7"}
	}
	state, err := paths.StateDir()
	if err != nil {
		return err
	}
	_, here, err := loadRecords()
	if err != nil {
		return err
	}
	lives := func(host string) bool {
		return slices.ContainsFunc(here, func(l registry.Listed) bool { return strings.HasPrefix(sshconfig.Prefix+l.ID, host) })
	}
	all := slices.Clone(here)
	if o.cluster != "" {
		all = slices.DeleteFunc(all, func(l registry.Listed) bool { return l.Cluster != o.cluster })
	}
	l, err := d.resolveSession(o.cluster, all, id)
	var unknown *registry.UnknownError
	if errors.As(err, &unknown) && o.cluster == "" { // ssh runs this command without --cluster
		hint := "which there are: cscs ps; one of another machine is known here after: cscs attach ID --cluster NAME"
		if len(unknown.Known) > 0 {
			hint = "live: " + strings.Join(unknown.Known, ", ") + "\n" + hint
		}
		return &problem.UsageError{Message: err.Error(), Hint: hint}
	}
	if err != nil {
		return err
	}
	known := sshconfig.Known(filepath.Join(state, "known_hosts"))
	attended := l.Attended && l.State == registry.Ready
	o.asGuest = attended // if not, the user's key is needed for the node
	return d.withClusterOf(ctx, l.Record, o, func(s *start) error {
		ctx := s.signals.ctx
		err := session.Proxy(ctx, session.ProxyConfig{
			ID: l.ID, Whole: l.State != "", Ready: l.State == registry.Ready, Lives: attended, Step: l.Step, Cluster: s.cluster.Name,
			NodeHop: s.route.NodeHop,
			Dial:    s.route.DialAsClient,
			Known: func(node string, keys []string) error {
				return known.Put(ctx, sshconfig.Prefix+id, node, keys, time.Now(), lives)
			},
			Note: d.say,
		}, os.Stdin, os.Stdout)
		if err = connect.CancellationCause(ctx, err); errors.Is(err, session.ErrDetached) {
			return nil // ssh hangs up in this way
		}
		return err
	})
}
