package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func newConfigShowCommand(d *deps) *cobra.Command {
	origin := false
	cmd := &cobra.Command{
		Use:   "show [flags]",
		Short: "Print the merged configuration",
		Long: `Print what is built in, the site-wide file and config.toml as one configuration, in the form of
config.toml. Variables of the environment that count before it are listed at the top.

The values of env, setup, slurm and command may contain secrets. A terminal shows them as they are.
If the output is not a terminal, they are hidden, and the output cannot be used as config.toml.

What ~/.ssh/config sets is not part of it: ssh -G HOST shows that.`,
		Example: `  cscs config show
  cscs config show --origin`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := d.loadSites()
			if err != nil {
				return err
			}
			return d.showConfig(cfg, origin)
		},
	}
	g := newGroup("What")
	g.flags.BoolVar(&origin, "origin", false, "print the file, line and column of each value")
	g.addToCommand(cmd)
	return cmd
}

// showConfig prints the merged configuration.
func (d *deps) showConfig(cfg *site.Config, origin bool) error {
	w := tabwriter.NewWriter(d.io.Out, 0, 8, 2, ' ', 0)
	if names := setFlagVariables(); len(names) > 0 {
		fmt.Fprintln(w, "# These variables count before all that follows:")
		for _, name := range names {
			fmt.Fprintln(w, "#   "+d.hideSecrets(name+" = "+strconv.Quote(os.Getenv(name)), isFreeText(strings.ToLower(strings.TrimPrefix(name, "CSCS_")))))
		}
	}
	if origin {
		fmt.Fprintln(w, "# ~/.ssh/config counts before the site-wide file and what is built in: ssh -G HOST shows it.")
	}
	table := ""
	for _, e := range cfg.Entries() {
		key := e.Path
		if len(e.Path) >= 2 {
			key = e.Path[2:]
			if t := formatKey(e.Path[:2]); t != table {
				table = t
				fmt.Fprintf(w, "\n[%s]\n", ui.Clean(table))
			}
		}
		if len(key) == 0 { // a table without a key
			continue
		}
		value, err := formatValue(e.Value)
		if err != nil {
			return err
		}
		line := d.hideSecrets(formatKey(key)+" = "+value, isFreeText(key[0]))
		if origin {
			line += "\t# " + ui.Clean(describeOrigin(e.Pos))
		}
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return err
		}
	}
	return w.Flush()
}

// isFreeText reports whether the values of a key are texts of the user in which a secret may be.
func isFreeText(key string) bool {
	return slices.Contains([]string{"env", "setup", "slurm", "command"}, key)
}

// hideSecrets returns an assignment as it may leave the terminal. hidden hides the whole value.
func (d *deps) hideSecrets(line string, hidden bool) string {
	key, _, _ := strings.Cut(line, " = ")
	switch {
	case d.io.OutTTY:
	case hidden:
		return ui.Clean(key) + ` = "…"`
	default:
		line = ui.MaskTokens(line)
	}
	return ui.Clean(line)
}

func describeOrigin(p site.Position) string {
	switch {
	case p.File == "":
		return "built in"
	case p.Line == 0: // see Entries
		return p.File + ": the only cluster there"
	}
	return p.String()
}

// setFlagVariables returns the names of the variables that are set for flags of a run command. CSCS_SSH_CONFIG
// belongs to no flag.
func setFlagVariables() []string {
	names := []string{"CSCS_SSH_CONFIG"}
	jobFlags().VisitAll(func(f *pflag.Flag) { names = append(names, envVar(f.Name)) })
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return os.Getenv(name) == "" })
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// formatKey returns a key as TOML has it.
func formatKey(path []string) string {
	var words []string
	for _, w := range path {
		if !bareKey.MatchString(w) {
			w = strconv.Quote(w)
		}
		words = append(words, w)
	}
	return strings.Join(words, ".")
}

// formatValue returns a value as TOML has it, on one line.
func formatValue(v any) (string, error) {
	text, err := toml.Marshal(map[string]any{"v": v})
	return strings.TrimSpace(strings.TrimPrefix(string(text), "v = ")), err
}
