//go:build unix

package paths

import (
	"errors"
	"testing"

	"github.com/alps-tunnel/cscs/internal/site"
)

// TestStateDir: where records are kept does not depend on where one stands.
func TestStateDir(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "somewhere")
	var home *site.HomeError
	if dir, err := StateDir(); !errors.As(err, &home) {
		t.Errorf("%q, %v", dir, err)
	}
	t.Setenv("XDG_STATE_HOME", "/state")
	if dir, err := StateDir(); err != nil || dir != "/state/cscs" {
		t.Errorf("%q, %v", dir, err)
	}
}
