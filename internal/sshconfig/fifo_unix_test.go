//go:build unix

package sshconfig

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// TestFIFO: a configuration that would have to be waited for is refused at once.
func TestFIFO(t *testing.T) {
	f := files(t)
	if err := os.MkdirAll(filepath.Dir(f.Config), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(f.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, without := f.Without(t.Context())
	_, uninstall := f.Uninstall(t.Context())
	_, install := f.Install(t.Context(), text(t))
	for _, err := range []error{install, uninstall, without} {
		var special *regular.Error
		if !errors.As(err, &special) || special.Path != f.Config {
			t.Errorf("%v", err)
		}
	}
}
