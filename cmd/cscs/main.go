// Command cscs runs a server on a compute node of a Slurm cluster behind a jump host and opens it in the browser.
// At the end it removes everything again.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/matchexec"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func main() {
	// net/http logs errors of servers on its own, in the middle of the live view. cscs logs nothing there.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if code, ok := matchexec.Helper(); ok {
		os.Exit(code) // ssh ran this program as its shell
	}
	if browser.Helper() {
		return // this process was the child that starts the browser
	}
	if code, ok := demo.Helper(); ok {
		os.Exit(code) // this process was a child of a demo
	}
	os.Exit(runCommandLine(context.Background(), os.Args[1:], newDeps(ui.System())))
}
