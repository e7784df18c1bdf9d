package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// printUsage prints the part of the help after a command's description. It groups the flags under headings,
// since thirty in one alphabetical list are hard to read.
func printUsage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	fmt.Fprintln(w, "Usage:")
	fmt.Fprintln(w, "  "+usageLine(cmd))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, "\nCommands:")
		for _, c := range visibleCommands(cmd) {
			fmt.Fprintf(w, "  %-16s %s\n", c.Name(), c.Short)
		}
	}
	if !cmd.HasParent() {
		printTopics(w)
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	printFlags(w, cmd.Flags())
	switch {
	case !cmd.HasParent():
		fmt.Fprintln(w, "\n\"cscs COMMAND --help\" and \"cscs help TOPIC\" tell more.")
	case cmd.HasAvailableSubCommands():
		fmt.Fprintf(w, "\n\"%s COMMAND --help\" tells more.\n", cmd.CommandPath())
	}
	if cmd.Annotations[showsExitStatus] != "" {
		fmt.Fprintln(w, exitStatus)
	}
	return nil
}

// usageLine returns the form of cmd's command line.
func usageLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// visibleCommands returns the subcommands that the help lists.
func visibleCommands(cmd *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), func(c *cobra.Command) bool {
		return !c.IsAvailableCommand() && c.Name() != "help" // which cobra does not count
	})
}

// showsExitStatus marks the commands whose help explains the exit codes.
const showsExitStatus = "exit status"

// exitStatus is the list of exit codes in the help of commands and in the topic exit-codes.
const exitStatus = `
Exit status:
  0    ended as asked
  1    failure
  2    wrong usage or configuration, unknown name
  3    authentication or host key refused
  4    no allocation, or it was taken away
  5    the server failed to start, or ended with an error
  6    torn down incompletely: something may be left on the cluster
  130  interrupted before it was ready (and torn down)`

// printFlags prints the flags group by group.
func printFlags(w io.Writer, flags *pflag.FlagSet) {
	for _, g := range groupFlags(flags) {
		fmt.Fprintf(w, "\n%s:\n%s", g.title, g.flags.FlagUsagesWrapped(100))
	}
}

// groupFlags returns the flags by their groups, in the order of the help. Those without a group come last.
func groupFlags(flags *pflag.FlagSet) []group {
	var groups []group
	other := newGroup("Other")
	flags.SortFlags = false
	flags.VisitAll(func(f *pflag.Flag) {
		title := f.Annotations[groupOf]
		if len(title) == 0 {
			other.flags.AddFlag(f)
			return
		}
		i := slices.IndexFunc(groups, func(g group) bool { return g.title == title[0] })
		if i < 0 {
			i, groups = len(groups), append(groups, newGroup(title[0]))
		}
		groups[i].flags.AddFlag(f)
	})
	if other.flags.HasFlags() {
		groups = append(groups, other)
	}
	return groups
}
