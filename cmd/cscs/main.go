// Command cscs takes a laptop from nothing to a browser tab that shows a server
// on a compute node of a Slurm cluster behind a jump host, and back to nothing.
package main

import (
	"context"
	"os"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/demo"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func main() {
	if browser.Helper() {
		return // we were a child that starts the browser
	}
	if code, ok := demo.Helper(); ok {
		os.Exit(code) // we were one that is part of a demo
	}
	os.Exit(execute(context.Background(), os.Args[1:], system(ui.System())))
}
