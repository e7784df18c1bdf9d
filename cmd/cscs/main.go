// Command cscs takes a laptop from nothing to a browser tab that shows a server
// on a compute node of a Slurm cluster behind a jump host, and back to nothing.
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
	// net/http has things to say of servers that nobody has asked about, in their own words
	// and in the middle of what stands on the terminal. We log nothing there.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	if code, ok := matchexec.Helper(); ok {
		os.Exit(code) // ssh has called us in place of a shell
	}
	if browser.Helper() {
		return // we were a child that starts the browser
	}
	if code, ok := demo.Helper(); ok {
		os.Exit(code) // we were one that is part of a demo
	}
	os.Exit(runCommandLine(context.Background(), os.Args[1:], newDeps(ui.System())))
}
