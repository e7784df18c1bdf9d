//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/site"
)

// TestStalePart: cscs doctor reports if cscs ssh-config --install has written another destination than the site-wide
// file has now, because ~/.ssh/config counts before that file.
func TestStalePart(t *testing.T) {
	const first = "[hosts.gate]\nhost='gate.org'\n[clusters.lab]\nhost='lab.org'\njump=['gate']\n[clusters.mine]\nhost='x.org'\n"
	for _, tt := range []struct{ change, by, want string }{
		{"lab.org", "lab.org", ""},
		{"lab.org", "new.org", "lab"},
		{"gate.org", "new.org", "gate"},
		{"lab.org'", "lab.org'\nport=2222", "lab"},
		{"jump=['gate']", "jump=['ela']", "lab"},
		{"x.org", "y.org", ""}, // the user's own file decides
		{first, "", ""},        // no site-wide file
	} {
		siteFiles(t, first, "")
		config := os.Getenv("CSCS_SSH_CONFIG")
		own, err := os.ReadFile(config)
		if err := errors.Join(err, os.WriteFile(config, append([]byte("Host mine\nHostName mine.org\n"), own...), 0o600)); err != nil {
			t.Fatal(err)
		}
		d := newDeps(nil)
		check := func() error {
			cfg, err := d.loadSitesSilently()
			if err != nil || cfg.Ignored != nil {
				t.Fatal(err, cfg.Ignored)
			}
			return findStalePart(t.Context(), cfg)
		}
		if err := check(); err != nil {
			t.Errorf("nothing is installed: %v", err)
		}
		if c := capture(t, nil, "ssh-config", "--install"); c.code != 0 {
			t.Fatal(c.err)
		}
		wide := os.Getenv("CSCS_SITE_CONFIG")
		part := filepath.Join(filepath.Dir(config), "cscs_config")
		if tt.change == first { // then even another address of daint is no reason to compare
			t.Setenv("CSCS_SITE_CONFIG", os.DevNull)
			text, err := os.ReadFile(part)
			if err := errors.Join(err, os.WriteFile(part, []byte(strings.ReplaceAll(string(text), "daint.alps", "d2.alps")), 0o600)); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(wide, []byte(strings.Replace(first, tt.change, tt.by, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		err = check()
		var ce *site.ConfigError
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.by, err)
		case tt.want != "" && (!errors.As(err, &ce) || ce.File != part || !strings.HasSuffix(ce.Message, ": "+tt.want) || ce.Fix != "cscs ssh-config --install"):
			t.Errorf("%s: %+v", tt.by, err)
		}
	}
}
