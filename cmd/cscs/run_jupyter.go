package main

import (
	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/app"
)

func newRunJupyterCommand(d *deps) *cobra.Command {
	j := newJob()
	cmd := &cobra.Command{
		Use:   "run-jupyter [flags] [-- jupyter arguments]",
		Short: "Run JupyterLab on a compute node and open it",
		Long: `Run JupyterLab on a compute node and open it in the browser.

cscs requests the allocation from Slurm, starts "jupyter lab" on its first node, bound
to 127.0.0.1 there and with a token of its own, and opens it. Ctrl-C stops the
server and ends the job. The arguments after -- are for jupyter.`,
		Example: `  cscs run-jupyter --cluster daint
  cscs run-jupyter -c daint -t 2h -A g123 --venv ~/ml --workdir ~/work
  cscs run-jupyter -c daint --bootstrap --workdir '$SCRATCH/notebooks'
  cscs run-jupyter -c santis -G 1 --uenv prgenv-gnu/24.11:v1 --view default
  cscs run-jupyter -c daint -- --ServerApp.root_dir=/capstor/scratch`,
		Args: onlyBehindDashes,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.app = func() (app.App, error) { return app.Jupyter(args, "") }
			return d.runJob(cmd, j)
		},
	}
	j.addFlags(cmd)
	return cmd
}
