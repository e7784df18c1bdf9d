//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/ui"
)

// askedSSH is an ssh that answers -V, and any other call only when it has been asked for -V, or after 3 s.
const askedSSH = `#!/bin/sh
if [ "$1" = -V ]; then
	: >DIR/version
	echo OpenSSH_9.9p1 >&2
	exit
fi
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
	[ ! -e DIR/version ] || break
	sleep 0.2
done
[ -e DIR/version ] || : >DIR/late
: >DIR/checked
exec PROGRAM "$@"
`

// TestReportAsksSSHBeside: the version of ssh is asked for beside the checks. A hanging ssh adds nothing to their time.
func TestReportAsksSSHBeside(t *testing.T) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := plantSecrets(t)
	t.Setenv("CSCS_CONFIG", filepath.Join(dir, "good.toml"))
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(strings.NewReplacer("DIR", bin, "PROGRAM", ssh).Replace(askedSSH)), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	var out bytes.Buffer
	runCommandLine(t.Context(), []string{"doctor", "--report"}, newDeps(&ui.IO{Out: &out, Err: &bytes.Buffer{}}))
	if !strings.Contains(out.String(), "OpenSSH_9.9p1\n") {
		t.Errorf("no version of ssh:\n%s", out.String())
	}
	if _, err := os.Stat(filepath.Join(bin, "checked")); err != nil {
		t.Errorf("the checks did not run ssh: %v", err)
	}
	if _, err := os.Stat(filepath.Join(bin, "late")); err == nil {
		t.Error("ssh was asked for its version only after the checks")
	}
}
