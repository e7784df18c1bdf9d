package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// markRun is for commands that start a session or attach to one.
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
	completeFlag(cmd, "partition", func(k completionSource) []string { return k.partitionNames() })
	completeFlag(cmd, "node", func(k completionSource) []string { return k.nodeNames() })
	completeFlag(cmd, "job", func(k completionSource) []string { return k.jobCompletions() })
	for _, name := range []string{"user", "port", "local-port", "time", "account", "qos", "nodes", "nodelist", "gpus", "mem",
		"constraint", "reservation", "slurm", "env", "setup", "uenv", "view", "queue-timeout", "start-timeout", "lease", "idle", "persist",
		"venv", "workdir", "logdir", "ready", "path"} { // their values are on the cluster, if anywhere
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions) // the flag exists and is registered once
		}
	}
}

// completeCluster completes --cluster by the known clusters.
func completeCluster(cmd *cobra.Command) {
	err := cmd.RegisterFlagCompletionFunc("cluster", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, err := new(deps).loadSitesSilently()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return cfg.Known(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is missing; every test finds this error
	}
}

func completeRecipes(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := new(deps).loadSitesSilently()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return cfg.Recipes(), cobra.ShellCompDirectiveNoFileComp
}

// A completionSource is what this machine knows of a cluster without asking it: its live sessions, those that
// ended recently, and the configuration.
type completionSource struct {
	cfg     *site.Config
	cluster string // "": any
	live    []registry.Listed
	ended   []registry.Ended
}

// completeFlag completes the values of a flag by what this machine knows of the chosen cluster.
func completeFlag(cmd *cobra.Command, flag string, values func(completionSource) []string) {
	if cmd.Flags().Lookup(flag) == nil {
		return
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		cfg, err := new(deps).loadSitesSilently()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		k := completionSource{cfg: cfg}
		if f := cmd.Flags().Lookup("cluster"); f != nil {
			k.cluster = f.Value.String()
		}
		if k.cluster == "" {
			k.cluster = cfg.Default()
		}
		store, all, err := loadRecords()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, l := range all {
			if k.isForCluster(l.Cluster) {
				k.live = append(k.live, l)
			}
		}
		for _, e := range store.Ended(time.Now()) {
			if k.isForCluster(e.Cluster) {
				k.ended = append(k.ended, e)
			}
		}
		return values(k), cobra.ShellCompDirectiveNoFileComp
	}) // the flag exists and is registered once
}

func (k completionSource) isForCluster(cluster string) bool {
	return k.cluster == "" || k.cluster == cluster
}

// partitionNames returns the partitions of the configuration and of sessions.
func (k completionSource) partitionNames() []string {
	all := k.cfg.Presets("partition", k.cluster)
	for _, l := range k.live {
		all = append(all, l.Partition)
	}
	for _, e := range k.ended {
		all = append(all, e.Partition)
	}
	return sortUnique(all)
}

// nodeNames returns the nodes of live sessions.
func (k completionSource) nodeNames() []string {
	var all []string
	for _, l := range k.live {
		all = append(all, l.Node)
	}
	return sortUnique(all)
}

// jobCompletions returns the jobs of live sessions.
func (k completionSource) jobCompletions() []string {
	var all []string
	for _, l := range k.live {
		if l.Job != "" {
			all = append(all, l.Job+"\t"+l.App+" on "+l.Cluster+", "+l.State)
		}
	}
	return all
}

// sortUnique sorts the words and removes duplicates and empty words.
func sortUnique(all []string) []string {
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}
