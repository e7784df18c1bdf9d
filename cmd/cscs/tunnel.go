package main

import (
	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/waitingroom"
	"github.com/alps-tunnel/cscs/session"
)

// tunnelOptions are the flags of cscs tunnel.
type tunnelOptions struct {
	options
	node, job     string
	port          int
	allowWideBind bool
}

func newTunnelCommand(d *deps) *cobra.Command {
	o := &tunnelOptions{}
	cmd := &cobra.Command{
		Use:   "tunnel [flags] --port PORT [--node NODE | --job ID]",
		Short: "Forward to a server that already runs on a compute node",
		Long: `Forward a local port to a server that already runs on a compute node of yours, and
open it in the browser. It allocates nothing and cancels nothing: Ctrl-C ends only
the tunnel. Without --node and --job, cscs uses your only running job on the cluster.
The tunnel ends when the job does.

The server must be your own, and must listen on 127.0.0.1 of its node.`,
		Example: `  cscs tunnel --cluster daint --port 6006
  cscs tunnel --cluster daint --node nid006554 --port 6006
  cscs tunnel -c daint --job 4270667 --port 8888 --local-port 9000`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.runTunnel(cmd, o) },
	}
	o.addWhereBy(cmd, checkFile) // its connection is not shared and not kept
	g := newGroup("Server")
	g.addString(&o.node, "node", "", "NODE", "node that the server runs on", checkNode)
	g.addString(&o.job, "job", "", "ID", "job that the server runs in: cscs uses its first node", checkJob)
	addValue(g, &o.port, "port", "", "PORT", "port that the server listens on, on the node", parsePort("a server has one of its own"))
	g.flags.BoolVar(&o.allowWideBind, "allow-wide-bind", false, "forward even if the server listens on more than 127.0.0.1")
	g.addToCommand(cmd)
	o.addHere(cmd, plansOnly)
	markRun(cmd)
	return cmd
}

// runTunnel fills and checks the flags of cscs tunnel, and runs the tunnel.
func (d *deps) runTunnel(cmd *cobra.Command, o *tunnelOptions) error {
	if err := fillEnv(cmd.Flags()); err != nil {
		return err
	}
	if err := o.checkFlags(); err != nil {
		return err
	}
	cfg, cl, err := o.fillFlags(cmd.Context(), cmd.Flags(), d.loadSites, nil)
	if err != nil {
		return err
	}
	return d.withCluster(cmd.Context(), &o.options, cfg, cl, func(s *start) error {
		tc := o.tunnelConfig(s)
		if o.dryRun {
			dryTunnel(d.io.Out, s.route, tc)
			return nil
		}
		defer s.openRoom(waitingroom.TunnelApp, d.args)()
		tc.Room = s.room
		defer s.startLiveView(liveKeys{})()
		return markTold(d.tunnel(s.signals.ctx, tc, s.showEvent))
	})
}

func (o *tunnelOptions) checkFlags() error {
	hint := "see cscs tunnel --help"
	switch {
	case o.node != "" && o.job != "":
		return &problem.UsageError{Message: "--node and --job exclude each other", Hint: hint}
	case o.port == 0:
		return &problem.UsageError{Message: "no port given: pass the server's port with --port", Hint: hint}
	}
	return nil
}

// tunnelConfig makes the configuration of a tunnel from the flags. No other function does.
func (o *tunnelOptions) tunnelConfig(s *start) session.TunnelConfig {
	protect := true // cscs has not set up the server's login, if there is one
	if o.protect != nil {
		protect = *o.protect
	}
	return session.TunnelConfig{
		ID: s.id, Cluster: s.cluster.Name,
		Hops: s.route.Hops(), Chain: s.route.ChainOptions(), Dial: s.route.DialAlone, NodeHop: s.route.NodeHop,
		Node: o.node, Job: o.job, Port: o.port,
		LocalPort: o.localPort, AllowWideBind: o.allowWideBind, Protect: &protect, Metrics: &s.gauge,
		Open: s.browserOpener(), Explain: s.explainError,
	}
}
