package main

import (
	"fmt"
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

// newHelpCommand returns the command that shows the help of a command, or a topic. Unlike that of cobra, it fails
// for an unknown name.
func newHelpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "help [COMMAND | TOPIC]",
		Short: "Show the help of a command, or a topic",
		Long: `Show the help of a command, such as cscs help key sign, or one of the topics that
cscs help lists.`,
		Example: `  cscs help
  cscs help run
  cscs help sessions`,
		RunE: showHelp,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			parent, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range parent.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			if !parent.HasParent() {
				for _, t := range topics {
					names = append(names, t.name+"\t"+t.short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolP("help", "h", false, "show this help")
	return cmd
}

// showHelp prints the help of the command that args name, or the topic.
func showHelp(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if t, ok := findTopic(args[0]); ok {
			if len(args) == 1 {
				fmt.Fprint(cmd.OutOrStdout(), t.text)
			}
			return noArgs(cmd, args[1:])
		}
	}
	named, rest, err := cmd.Root().Find(args)
	switch {
	case err == nil && len(rest) == 0:
		named.InitDefaultHelpFlag()
		return named.Help()
	case len(args) == 1:
		names := commandNames(cmd.Root())
		for _, t := range topics {
			names = append(names, t.name)
		}
		return unknownName("command or topic", args[0], names, "see cscs help")
	case named == nil:
		named = cmd.Root()
	}
	return knownCommand(named, rest)
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
	return unknownName("command", args[0], commandNames(cmd), "see "+cmd.CommandPath()+" --help")
}

// commandNames returns the names of the subcommands that a user may mean.
func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// unknownName returns the error for a name that is none of the known ones. It suggests the nearest of them.
func unknownName(what, name string, known []string, hint string) error {
	err := problem.Usagef("unknown %s %q", what, name)
	err.Hint = hint
	slices.Sort(known)
	if near := site.Nearest(name, known); near != "" {
		err.Message += ", did you mean " + near + "?"
	}
	return err
}
