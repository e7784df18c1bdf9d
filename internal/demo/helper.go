package demo

import (
	"fmt"
	"os"
)

// helperEnv says which of our own children a process is.
const helperEnv = "CSCS_DEMO_HELPER"

// innerEnv is helperEnv of a server that a keeper is to start.
const innerEnv = "CSCS_DEMO_INNER"

const (
	clusterHelper = "cluster" // with the place's directory: see serve
	keeperHelper  = "keeper"  // with a server's command: see keep
	pageHelper    = "page"    // with a port: see servePage
)

// helperCalled is true if main has called Helper. Otherwise a child would be another cscs.
var helperCalled bool

// Helper must be called by main before anything else: if it returns true, this process is a
// child of the demo's, has done its work, and is to end with that code.
func Helper() (code int, ok bool) {
	which, ok := os.LookupEnv(helperEnv)
	if !ok {
		helperCalled = true
		return 0, false
	}
	_ = os.Unsetenv(helperEnv)
	args := os.Args[1:]
	var err error
	switch {
	case which == clusterHelper && len(args) == 1:
		helperCalled = true
		err = serveCluster(args[0], os.Stdout) //nolint:forbidigo // the pipe to who has started it
	case which == keeperHelper && len(args) > 0:
		return runKeeper(args), true
	case which == pageHelper:
		err = servePage(args)
	default:
		err = fmt.Errorf("cscs demo: there is no helper %q", which)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err) //nolint:forbidigo // the log of a child
		return 1, true
	}
	return 0, true
}
