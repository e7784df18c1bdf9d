//go:build unix

package site

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSitePath: the system has a place for the file, unless the user names a file or none.
func TestSitePath(t *testing.T) {
	for value, want := range map[string]siteFile{
		"": {path: "/etc/cscs/config.toml"}, "/x.toml": {path: "/x.toml", named: true}, os.DevNull: {},
	} {
		t.Setenv("CSCS_SITE_CONFIG", value)
		if got := sitePath(); got != want {
			t.Errorf("%q: %+v", value, got)
		}
	}
}

// TestUnsafeSiteFile: a file at the system's place that others can write is not used. The error has the
// command that fixes it.
func TestUnsafeSiteFile(t *testing.T) {
	home(t, "", "")
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	for mode, refuse := range map[os.FileMode]bool{0o644: false, 0o600: false, 0o646: true, 0o664: true} {
		if err := errors.Join(os.WriteFile(file, []byte("[clusters.new]\nhost='x'"), 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		c, err := load(siteFile{path: file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if used := len(c.Known()) == 8; used == refuse {
			t.Errorf("%o: used %v: %v", mode, used, c.Ignored)
		}
		var ce *ConfigError
		if refuse && (!errors.As(c.Ignored, &ce) || !strings.Contains(ce.Message, "only root may be able to change this file") || ce.Fix != "sudo chown root "+file+" && sudo chmod go-w "+file) {
			t.Errorf("%o: %+v", mode, ce)
		}
	}
	if err := errors.Join(os.WriteFile(file, []byte("x = 1"), 0o600), os.Chmod(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	var ce *ConfigError
	if c, err := load(siteFile{path: file}, nil); err != nil || !errors.As(c.Ignored, &ce) || ce.Fix != "sudoedit "+file {
		t.Errorf("a mistake in it: %v, %+v", err, ce)
	}
	if c, err := load(siteFile{path: filepath.Join(dir, "none.toml")}, nil); err != nil || c.Ignored != nil {
		t.Errorf("no file: %v, %v", c.Ignored, err)
	}
}
