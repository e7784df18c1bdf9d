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
	line := cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		line = cmd.CommandPath() + " COMMAND"
	}
	fmt.Fprintln(w, "  "+line)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, "\nCommands:")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() || c.Name() == "help" {
				fmt.Fprintf(w, "  %-16s %s\n", c.Name(), c.Short)
			}
		}
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	printFlags(w, cmd.Flags())
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n\"%s COMMAND --help\" tells more.\n", cmd.CommandPath())
	}
	if cmd.Annotations[showsExitStatus] != "" {
		fmt.Fprintln(w, exitStatus)
	}
	return nil
}

// showsExitStatus marks the commands whose help explains the exit codes.
const showsExitStatus = "exit status"

// printFlags prints the flags group by group; flags without a group come last.
func printFlags(w io.Writer, flags *pflag.FlagSet) {
	var titles []string
	byTitle := map[string]*pflag.FlagSet{}
	flags.SortFlags = false
	flags.VisitAll(func(f *pflag.Flag) {
		title := "Other"
		if g := f.Annotations[groupOf]; len(g) > 0 {
			title = g[0]
		}
		if byTitle[title] == nil {
			titles = append(titles, title)
			byTitle[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			byTitle[title].SortFlags = false
		}
		byTitle[title].AddFlag(f)
	})
	if i := slices.Index(titles, "Other"); i >= 0 {
		titles = append(slices.Delete(titles, i, i+1), "Other")
	}
	for _, title := range titles {
		fmt.Fprintf(w, "\n%s:\n%s", title, byTitle[title].FlagUsagesWrapped(100))
	}
}
