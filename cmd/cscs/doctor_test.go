package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
)

// TestDoctorsKnownHosts: cscs reports an ignored line once, although it reads the file for each host of the
// route.
func TestDoctorsKnownHosts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("SSH_AUTH_SOCK", "")
	known := filepath.Join(home, "known")
	for name, text := range map[string]string{known: "ela nonsense\n", filepath.Join(home, "config.toml"): "[hosts.ela]\nknown_hosts = \"" + known + "\"\n[clusters.daint]\nknown_hosts = \"" + known + "\"\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CSCS_CONFIG", filepath.Join(home, "config.toml"))
	dw := newDeps(nil).findCheckTarget(context.Background(), site.Overrides{}, "daint", &key.Ring{}, nil)
	var passed *chain.PassedOverError
	if len(dw.Note) != 1 || !errors.As(dw.Note[0], &passed) || passed.Line != 1 || passed.File != known || len(dw.Known) != 2 {
		t.Errorf("%v of %d hosts, %v", dw.Note, len(dw.Known), dw.HostsErr)
	}
}
