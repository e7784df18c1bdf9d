package main

import (
	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// markRun is for commands that begin a session, or pick one up.
func markRun(cmd *cobra.Command) {
	cmd.Annotations = map[string]string{showsExitStatus: "yes"}
	completeCluster(cmd)
	if cmd.Flags().Lookup("via") != nil {
		var vias []string
		for _, v := range slurm.Vias {
			vias = append(vias, string(v))
		}
		_ = cmd.RegisterFlagCompletionFunc("via", cobra.FixedCompletions(vias, cobra.ShellCompDirectiveNoFileComp))
	}
	for _, name := range []string{"user", "port", "local-port", "time", "account", "partition", "qos", "nodes", "nodelist", "gpus", "mem",
		"constraint", "reservation", "slurm", "node", "job", "env", "setup", "uenv", "view", "queue-timeout", "start-timeout", "lease", "idle",
		"venv", "workdir", "logdir", "ready", "path"} { // what they name is on the cluster, if anywhere
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // it exists, and is registered once
		}
	}
}

// completeCluster offers the known clusters as values of --cluster.
func completeCluster(cmd *cobra.Command) {
	var none deps
	err := cmd.RegisterFlagCompletionFunc("cluster", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, err := none.sites()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return cfg.Known(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is not there: a mistake of ours that every test sees
	}
}

func completeRecipes(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := site.Load()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return cfg.Recipes(), cobra.ShellCompDirectiveNoFileComp
}
