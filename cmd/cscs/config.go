package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newConfigCommand(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and check the configuration",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShowCommand(d), newConfigCheckCommand(d))
	for _, c := range cmd.Commands() {
		c.Flags().BoolP("help", "h", false, "show this help")
	}
	return cmd
}

// jobFlags returns the flags of a run command, which are those that files can preset.
func jobFlags() *pflag.FlagSet {
	cmd := &cobra.Command{}
	newJob().addFlags(cmd)
	return cmd.Flags()
}
