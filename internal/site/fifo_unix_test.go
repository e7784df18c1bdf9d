//go:build unix

package site

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// TestFIFO: ssh would wait for ever at such a configuration, so it is not asked.
func TestFIFO(t *testing.T) {
	config := filepath.Join(home(t, "", ""), ".ssh", "config")
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(config, 0o600); err != nil {
		t.Fatal(err)
	}
	var special *regular.Error
	if _, err := route(t, "daint", Overrides{}); !errors.As(err, &special) || special.Path != config {
		t.Errorf("%v", err)
	}
	t.Setenv("CSCS_SSH_CONFIG", os.DevNull) // as ssh -F /dev/null
	if _, err := route(t, "daint", Overrides{}); err != nil {
		t.Error(err)
	}
}
