package main

import (
	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/app"
)

func newRunTensorBoardCommand(d *deps) *cobra.Command {
	j, logdir := newJob(), ""
	cmd := &cobra.Command{
		Use:   "run-tensorboard [flags] --logdir DIR [-- tensorboard arguments]",
		Short: "Run TensorBoard on a compute node and open it",
		Long: `Run TensorBoard on a compute node and open it in the browser.

cscs requests the allocation from Slurm, starts "tensorboard" on its first node, bound to
127.0.0.1 there, and opens it. Ctrl-C stops the server and ends the job. The arguments
after -- are for tensorboard.`,
		Example: `  cscs run-tensorboard --cluster daint --logdir runs
  cscs run-tensorboard -c daint -t 20 --logdir '$SCRATCH/runs' --venv ~/ml
  cscs run-tensorboard -c daint --logdir runs -- --reload_interval 5`,
		Args: onlyBehindDashes,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.app = func() (app.App, error) { return app.TensorBoard(logdir, args) }
			return d.runJob(cmd, j)
		},
	}
	g := newGroup("TensorBoard")
	g.addString(&logdir, "logdir", "", "DIR", "directory of the runs, on the cluster", checkWord)
	g.addToCommand(cmd)
	j.addFlags(cmd)
	return cmd
}
