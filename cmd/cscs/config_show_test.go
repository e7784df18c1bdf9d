package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// TestShownConfigIsAConfig: what config show prints can be used as config.toml and shows the same again.
func TestShownConfigIsAConfig(t *testing.T) {
	siteFiles(t, "persist_ = 1", `default_cluster = "a.b"
persist = "10m"
[clusters."a.b"]
host = "x"
time = 30
jump = []
slurm = ["--comment=a \"b\"", '--x']
setup = """
one
two"""
no_browser = true
[clusters."a.b".env]
A = "ü # = \t"
[clusters.empty]
[recipes.r]
command = ["sh", "-c", 'echo "$x"']
`)
	t.Setenv("CSCS_SITE_CONFIG", os.DevNull)
	show := func() string {
		var out bytes.Buffer
		d := &deps{io: &ui.IO{Out: &out, Err: &out, OutTTY: true}}
		if code := runCommandLine(t.Context(), []string{"config", "show"}, d); code != 0 {
			t.Fatal(code, out.String())
		}
		return out.String()
	}
	first := show()
	file := filepath.Join(t.TempDir(), "shown.toml")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CSCS_CONFIG", file)
	if diff := cmp.Diff(first, show()); diff != "" || !strings.Contains(first, "two") {
		t.Errorf("%s\n%s", first, diff)
	}
	c, err := site.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(c.Known(), "empty") {
		t.Errorf("a cluster without a key is not shown:\n%s", first)
	}
	if cl, err := c.Cluster(t.Context(), "a.b"); err != nil || len(cl.Settings) != 6 {
		t.Errorf("%+v, %v", cl.Settings, err)
	}
}

// TestOnlyClusterIsShown: the default that follows from config.toml is shown, with the reason.
func TestOnlyClusterIsShown(t *testing.T) {
	siteFiles(t, "default_cluster = 'eiger'", "[clusters.daint]\ntime = '1h'")
	c := capture(t, nil, "config", "show", "--origin")
	if want := "default_cluster = 'daint'  # " + os.Getenv("CSCS_CONFIG") + ": the only cluster there\n"; !strings.Contains(c.out, want) {
		t.Errorf("no %s in\n%s", want, c.out)
	}
}

// TestEveryMistake: all mistakes of both files are reported, in the order of the lines, those of the text first.
func TestEveryMistake(t *testing.T) {
	siteFiles(t, "[clusters.x]\nenv = {A = 'b'}\ntime = '2x'\n", `default_cluster = 7
foo = 1
[clusters.x]
time = "2y"
acount = "g"
port = 'x'
[hosts.x]
port = 99999
[recipes.y]
port = 1
nodes = [
 1,
]
no_browser = "no"
[signing.z]
kind = "x"
`)
	c := capture(t, nil, "config", "check")
	var got []string
	for line := range strings.Lines(c.err) {
		place, _, _ := strings.Cut(strings.TrimPrefix(line, "cscs: "), ": ")
		got = append(got, filepath.Base(place))
	}
	want := strings.Fields("config.toml:1:19 config.toml:2:1 config.toml:5:1 config.toml:6:8 config.toml:11:9 config.toml:14:14 config.toml:4:1 config.toml:8:1 config.toml:9:2 config.toml:16:1 hint wide.toml:2:1 wide.toml:3:1 hint")
	if diff := cmp.Diff(want, got); diff != "" || c.code != 2 || c.out != "" {
		t.Errorf("exit code %d, stdout %q\n%s%s", c.code, c.out, c.err, diff)
	}
	if !strings.Contains(c.err, "time 2x: it is no time limit") {
		t.Error("a value that config.toml hides is not checked")
	}
}
