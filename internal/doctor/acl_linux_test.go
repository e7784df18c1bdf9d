package doctor

import (
	"testing"

	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestSettingsACL: an access control list lets another user write config.toml, or replace it. The
// user's own group is but a warning; that is a failure.
func TestSettingsACL(t *testing.T) {
	p := newPatient(t)
	p.settings(0o700, 0o600)
	p.want(t, "files", OK)
	if err := strangertest.Allow(p.Settings, 6, 6); err != nil {
		t.Fatal(err)
	}
	p.want(t, "files", Failure, "config.toml")
}
