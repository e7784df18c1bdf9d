package windowstest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bin is the built cscs.
var bin string

func TestMain(m *testing.M) {
	code, isHelper := sendAsked()
	if !isHelper {
		code = runTests(m)
	}
	os.Exit(code)
}

// runTests builds cscs, unless CSCS_WINE_BIN names it, and runs the tests.
func runTests(m *testing.M) int {
	if bin = os.Getenv("CSCS_WINE_BIN"); bin != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "cscs-windows")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		bin = filepath.Join(dir, "cscs.exe")
		var out []byte
		out, err = exec.CommandContext(context.Background(), "go", "build", "-o", bin, "../../../cmd/cscs").CombinedOutput()
		if err == nil {
			return m.Run()
		}
		err = fmt.Errorf("build cscs: %w\n%s", err, out)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
