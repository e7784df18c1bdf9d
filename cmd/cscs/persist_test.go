package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPersistChecked: a bad value of config.toml is one line with its place, for commands that take it as
// a flag and for those that reach a session's cluster.
func TestPersistChecked(t *testing.T) {
	for _, config := range []string{"persist = \"soon\"\n", "[clusters.daint]\npersist = \"1ms\"\n"} {
		for _, args := range [][]string{{"run", "-c", "daint", "--", "x"}, {"ps", "--refresh", "-c", "daint"}} {
			file := filepath.Join(home(t, ""), "config.toml")
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("CSCS_CONFIG", file)
			c := capture(t, nil, args...)
			if c.code != 2 || !strings.Contains(c.err, "config.toml:") || !strings.Contains(c.err, "persist ") {
				t.Errorf("%s%q: exit code %d, %s", config, args, c.code, c.err)
			}
		}
	}
}
