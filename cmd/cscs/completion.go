package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/problem"
)

// bashWords replaces a function of cobra's script that needs the bash-completion package.
//
//go:embed completion.bash
var bashWords string

// shells lists the supported shells, each with the line that loads its completion script.
var shells = []struct {
	name, load string
	write      func(root *cobra.Command, to io.Writer) error
}{
	{"bash", "source <(cscs completion bash)", writeBash},
	{"zsh", "source <(cscs completion zsh)", func(root *cobra.Command, to io.Writer) error { return root.GenZshCompletion(to) }},
	{"fish", "cscs completion fish | source", func(root *cobra.Command, to io.Writer) error { return root.GenFishCompletion(to, true) }},
	{"powershell", "cscs completion powershell | Out-String | Invoke-Expression",
		func(root *cobra.Command, to io.Writer) error { return root.GenPowerShellCompletionWithDesc(to) }},
}

func newCompletionCommand(d *deps) *cobra.Command {
	var names, lines []string
	for _, s := range shells {
		names = append(names, s.name)
		lines = append(lines, fmt.Sprintf("  %-11s %s", s.name, s.load))
	}
	all := strings.Join(names, ", ")
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of a shell",
		Long: `Print the script that completes commands, flags, clusters, recipes and sessions in a shell.
To have it in every shell, put its line into the start-up file of the shell:

` + strings.Join(lines, "\n") + `

The script for bash needs no bash-completion package.`,
		Example:   "  source <(cscs completion bash)",
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains(names, args[0]) {
				return nil
			}
			message := "which shell? name one: " + all
			if len(args) > 0 {
				message = "there is no completion for " + quoteWord(strings.Join(args, " ")) + ": name one of " + all
			}
			return &problem.UsageError{Message: message, Hint: "see cscs completion --help"}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			i := slices.Index(names, args[0])
			return shells[i].write(cmd.Root(), d.io.Out)
		},
	}
}

// writeBash writes cobra's script, followed by a function that replaces one of cobra's.
func writeBash(root *cobra.Command, to io.Writer) error {
	var script bytes.Buffer
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	script.WriteString(bashWords)
	_, err := script.WriteTo(to)
	return err
}
