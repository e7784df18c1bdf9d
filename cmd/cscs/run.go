package main

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
)

func newRunCommand(d *deps) *cobra.Command {
	j := newJob()
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND... | NAME [flags] [-- arguments]",
		Short: "Run any web server on a compute node and open it",
		Long: `Run any web server on a compute node and open it in the browser.

The command comes after --. {port} in its arguments, and $PORT in its environment, stand
for the port on which it must listen, at 127.0.0.1. Without --port, this is the number of
the local port if that is free on the node, otherwise another one. cscs stops a server that
listens on other addresses than 127.0.0.1.

A NAME is a recipe of config.toml or of the site-wide file: a command and its flags under
[recipes.NAME]. It has the same local port each time, if that is free.
Ctrl-C stops the server and ends the job.`,
		Example: `  cscs run -c daint -- python3 -m http.server {port} --bind 127.0.0.1
  cscs run -c daint --port 5000 --venv ~/venvs/ml -- mlflow ui --port 5000
  cscs run -c daint -p debug -t 30 --setup 'module load cray-python' -- \
      streamlit run app.py --server.port {port} --server.address 127.0.0.1
  cscs run mlflow`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, command, err := splitRun(args, cmd.ArgsLenAtDash())
			if err != nil {
				return err
			}
			if name != "" {
				given := command
				j.recipe = func(cfg *site.Config) ([]site.Setting, error) {
					r, err := cfg.Recipe(name)
					command = append(slices.Clone(r.Command), given...)
					return r.Settings, err
				}
			}
			j.app = func() (app.App, error) {
				a, err := app.Command(command, j.port)
				if name != "" && a.LocalPort == 0 {
					a.LocalPort = recipePort(name)
				}
				return a, err
			}
			return d.runJob(cmd, j)
		},
		ValidArgsFunction: completeRecipes,
	}
	j.addFlags(cmd)
	return cmd
}

// recipePort returns the local port that a recipe without a port tries first, so that its address can be a
// bookmark. It is below the ephemeral ports.
func recipePort(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // it never fails
	return 20000 + int(h.Sum32()%10000)
}

// splitRun splits the arguments into a recipe's name and further arguments, or a command.
func splitRun(args []string, dash int) (name string, command []string, err error) {
	before := args
	if dash >= 0 {
		before, command = args[:dash], args[dash:]
	}
	switch {
	case len(before) == 1:
		return before[0], command, nil
	case len(before) > 1:
		return "", nil, &problem.UsageError{Message: "put the command after --: cscs run [flags] -- " + strings.Join(before, " "),
			Hint: "see cscs run --help"}
	case len(command) == 0 || command[0] == "":
		return "", nil, &problem.UsageError{Message: "no command to run: put it after --, for example cscs run -- python3 -m http.server {port} --bind 127.0.0.1",
			Hint: "see cscs run --help"}
	}
	if line := command[0]; len(command) == 1 && strings.Contains(line, " ") && (strings.Contains(line, "{port}") || strings.Contains(line, " -")) {
		return "", nil, &problem.UsageError{Message: "the command is one word that contains spaces: " + quoteWord(line),
			Hint: "leave the quotes out: cscs run -- " + line}
	}
	return "", command, nil
}

// onlyBehindDashes is the check of commands whose arguments all belong to the server.
func onlyBehindDashes(cmd *cobra.Command, args []string) error {
	if n := cmd.ArgsLenAtDash(); len(args) > 0 && n != 0 {
		server := strings.TrimPrefix(cmd.Name(), "run-")
		return &problem.UsageError{Message: "unknown argument " + quoteWord(args[0]) + ": put arguments for " + server + " after --",
			Hint: "see " + cmd.CommandPath() + " --help"}
	}
	return nil
}
