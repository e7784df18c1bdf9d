//go:build lab

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// lab is the lab that all tests share. It is theirs alone while they run.
var lab struct {
	*labctl.Lab
	bin        string // the built cscs
	testserver string // the path of the test server on the cluster
	checkout   string
}

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	ctx := context.Background()
	root, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	lab.checkout = root
	lab.bin = os.Getenv("E2E_BIN")
	if lab.bin == "" {
		return 1, fmt.Errorf("E2E_BIN must name the built cscs, inside the checkout: see scripts/test")
	}
	if lab.Lab, err = labctl.Open(ctx, filepath.Join(root, "scripts/lab")); err != nil {
		return 1, err
	}
	onLaptop = lab.Client("laptop")
	// The server is built without libc: it runs on the three releases alike.
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(lab.Env["CLUSTER_HOMES"], "testserver"), "./testserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build testserver: %w\n%s", err, out)
	}
	lab.testserver = "/home/testserver"
	if err := leaveOut(ctx); err != nil {
		return 1, err
	}
	code := m.Run()
	// Whatever the single tests let pass as COMPLETING must be gone in the end.
	if left := poll(3*time.Minute, func() string { return squeue("") }); left != "" {
		return 1, fmt.Errorf("left in the queue after all tests:\n%s", left)
	}
	return code, nil
}

// leaveOut leaves out the tests that are not of this lab. They do not count as skipped:
// scripts/test runs them in a lab that is theirs.
func leaveOut(ctx context.Context) error {
	config, err := lab.Command(ctx, "in", "daint", "scontrol", "show", "config").Output()
	if err != nil {
		return fmt.Errorf("scontrol show config: %w", err)
	}
	flag.Parse()
	// The cells of a row of the fault matrix wait for each other.
	if err := flag.Set("test.parallel", "16"); err != nil {
		return err
	}
	var out []string
	if !strings.Contains(string(config), "accounting_storage/slurmdbd") {
		out = append(out, "^TestAccounting")
	}
	if flag.Lookup("test.run").Value.String() == "" {
		out = append(out, "^TestFault", "^TestCost", "^TestChaos", "^TestSoak") // each a stage of its own, which names it
	}
	skip := flag.Lookup("test.skip").Value
	if given := skip.String(); given != "" {
		out = append(out, given)
	}
	return skip.Set(strings.Join(out, "|"))
}
