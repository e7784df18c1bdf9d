//go:build unix

package stoptest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

const (
	childEnv = "CSCS_TEST_STOPPED_CHILD"
	request  = "stop this process for "
)

// InChild runs a test in a child process. The test can stop its process for a while: stop returns
// when the process has continued. A top-level test function calls InChild before anything else.
func InChild(t *testing.T, test func(t *testing.T, stop func(time.Duration))) {
	t.Helper()
	if os.Getenv(childEnv) != "" {
		test(t, stopMe)
		return
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stops := 0
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		_, length, asked := strings.Cut(lines.Text(), request)
		if !asked {
			said.WriteString(lines.Text() + "\n")
			continue
		}
		d, err := time.ParseDuration(length)
		if err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		waittest.SpendRealTime(d) // the test is about the length of the stop
		_ = cmd.Process.Signal(syscall.SIGCONT)
		stops++
	}
	if err := cmd.Wait(); err != nil || stops == 0 {
		t.Errorf("the child was stopped %d times and ended with %v:\n%s", stops, err, said.String())
	}
}

// stopMe asks the parent to stop this process for d.
func stopMe(d time.Duration) {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	fmt.Fprintln(os.Stdout, request+d.String()) //nolint:forbidigo // to the parent
	<-goesOn
}
