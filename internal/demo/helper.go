package demo

import (
	"fmt"
	"os"
)

// helperEnv selects what a child process of this program does.
const helperEnv = "CSCS_DEMO_HELPER"

// innerEnv holds the value of helperEnv for a server that a keeper starts.
const innerEnv = "CSCS_DEMO_INNER"

const (
	clusterHelper = "cluster" // argument: the place's directory (serveCluster)
	keeperHelper  = "keeper"  // arguments: a server's command (runKeeper)
	pageHelper    = "page"    // argument: a port (servePage)
)

// helperCalled reports whether main has called Helper. If it has not, a child would run as
// another cscs.
var helperCalled bool

// Helper runs the work of a child of the demo. main must call it before anything else. If ok is
// true, this process was such a child, and must exit with code.
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
