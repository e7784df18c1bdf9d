//go:build unix

package site

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// TestFindSiteFile: the system has a place for the file, unless the user names a file or none.
func TestFindSiteFile(t *testing.T) {
	for value, want := range map[string]siteFile{
		"": {path: "/etc/cscs/config.toml"}, "/x.toml": {path: "/x.toml", named: true}, os.DevNull: {},
	} {
		t.Setenv("CSCS_SITE_CONFIG", value)
		if got := findSiteFile(); got.path != want.path || got.named != want.named || (got.find != nil) != (value == "") {
			t.Errorf("%q: %+v", value, got)
		}
	}
}

// TestUnsafeSiteFile: a file at the system's place that others than root can change is not used. The error has no
// command: each command that makes the file trusted would trust what another user may have written.
func TestUnsafeSiteFile(t *testing.T) {
	home(t, "", "")
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte("[clusters.new]\nhost='x'"), 0o600); err != nil {
		t.Fatal(err)
	}
	find := func(err error) func(string) (string, error) {
		return func(path string) (string, error) { return path, err }
	}
	for _, tt := range []struct {
		err  error
		used bool
	}{
		{nil, true},
		{&owndir.RootFileError{Path: file, Reason: "is writable by others"}, false},
		{&owndir.RootFileError{Path: filepath.Dir(file), Reason: "belongs to mallory"}, false},
	} {
		c, err := load(siteFile{path: file, find: find(tt.err)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if used := len(c.Known()) == 8; used != tt.used {
			t.Errorf("%v: used %v: %v", tt.err, used, c.Ignored)
		}
		var ce *ConfigError
		if !tt.used && (!errors.As(c.Ignored, &ce) || !strings.Contains(ce.Message, "only root may be able to change this file") || ce.Fix != "" || !strings.Contains(ce.Advice, "check the content")) {
			t.Errorf("%v: %+v", tt.err, ce)
		}
	}
	judge := func(s Setting) *ConfigError { return &ConfigError{File: s.Pos.File, Message: "bad " + s.Flag} }
	for _, text := range []string{"x = 1", "[clusters.x]\ntime = '2x'"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var ce *ConfigError
		if c, err := load(siteFile{path: file, find: find(nil)}, judge, nil); err != nil || !errors.As(c.Ignored, &ce) || ce.Fix != "sudoedit "+file {
			t.Errorf("a mistake in it: %s: %v, %+v", text, err, ce)
		}
	}
}

// TestHiddenSiteFile: without CSCS_SITE_CONFIG, a place at which there can be no file, or none that this user can see,
// is as good as none, and no reason for a warning.
func TestHiddenSiteFile(t *testing.T) {
	dir := home(t, "", "")
	for _, tt := range []struct {
		err    error
		hidden bool
	}{{fs.ErrNotExist, false}, {syscall.ENOTDIR, true}, {syscall.EACCES, true}} {
		wide := siteFile{path: filepath.Join(dir, "cscs", "config.toml"), find: func(string) (string, error) { return "", &fs.PathError{Err: tt.err} }}
		c, err := load(wide, nil, nil)
		if err != nil || c.Ignored != nil || (c.Hidden != nil) != tt.hidden {
			t.Errorf("%v: %v, ignored: %v, hidden: %v", tt.err, err, c.Ignored, c.Hidden)
		}
	}
	t.Setenv("CSCS_SITE_CONFIG", filepath.Join(dir, ".ssh", "config", "config.toml"))
	if c, err := Load(); err != nil || c.Ignored == nil {
		t.Errorf("a file that is named must be there: %v, %v", c, err)
	}
}
