package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// suggestFlag returns the name of the flag of cmd that is nearest to name; "": none is near.
func suggestFlag(cmd *cobra.Command, name string) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return site.Nearest(name, names)
}

// slurmHint says how to pass an option of sbatch for which there is no flag. It returns "" if cmd requests no
// allocation, or if the option is unknown or refused by cscs.
func slurmHint(cmd *cobra.Command, name string) string {
	word, ok := slurm.OptionWord(name)
	if !ok || cmd.Flags().Lookup("slurm") == nil {
		return ""
	}
	return "an option of sbatch without a flag here is given as --slurm=" + word
}

// newHelpCommand returns a help command that fails for an unknown command. That of cobra does not.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				if topic == nil {
					topic = cmd.Root()
				}
				return knownCommand(topic, rest)
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range topic.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// checkCommand returns an error for a command that does not exist. cobra would first parse its flags as those
// of the parent command, and take --help for the parent's.
func checkCommand(root *cobra.Command, args []string) error {
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(args)
	if err != nil || !cmd.HasSubCommands() {
		return err
	}
	for i := 0; i < len(rest) && rest[i] != "--"; i++ {
		word := rest[i]
		switch {
		case word == cobra.ShellCompRequestCmd || word == cobra.ShellCompNoDescRequestCmd:
			return nil // cobra adds them later
		case !strings.HasPrefix(word, "-"):
			return knownCommand(cmd, rest[i:])
		case strings.Contains(word, "=") || hasFlag(cmd, word):
		case strings.HasPrefix(word, "--") || len(word) == 2:
			i++ // as in Find, an unknown flag has a value
		}
	}
	return nil
}

// hasFlag reports whether word is a flag of cmd. Commands with subcommands only have flags without values.
func hasFlag(cmd *cobra.Command, word string) bool {
	if name, ok := strings.CutPrefix(word, "--"); ok {
		return cmd.Flags().Lookup(name) != nil
	}
	return len(word) == 2 && cmd.Flags().ShorthandLookup(word[1:]) != nil
}

// knownCommand returns an error for an unknown command. It suggests the nearest known one.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := problem.Usagef("unknown command %q", args[0])
	err.Hint = "see " + cmd.CommandPath() + " --help"
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	slices.Sort(names)
	if near := site.Nearest(args[0], names); near != "" {
		err.Message += ", did you mean " + near + "?"
	}
	return err
}
