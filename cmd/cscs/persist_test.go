package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/registry"
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

// TestPersistGiven: a command that reaches a session's cluster takes --persist before config.toml, also 0s.
func TestPersistGiven(t *testing.T) {
	file := filepath.Join(home(t, ""), "config.toml")
	if err := os.WriteFile(file, []byte("persist = \"10m\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CSCS_CONFIG", file)
	for given, want := range map[*time.Duration]time.Duration{nil: 10 * time.Minute, new(time.Duration(0)): 0} {
		o := &options{whereFlags: whereFlags{persist: given}}
		err := silentDeps().withClusterOf(t.Context(), registry.Record{Cluster: "daint"}, o, func(s *start) error {
			if kept := s.newKeeping() != nil; *s.opts.persist != want || kept != (want > 0) {
				t.Errorf("given %v: %v, kept %v", given, *s.opts.persist, kept)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
