package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// siteFiles gives the test a site-wide file and a config.toml.
func siteFiles(t *testing.T, wide, config string) {
	t.Helper()
	dir := home(t, "")
	for name, f := range map[string]struct{ file, text string }{
		"CSCS_SITE_CONFIG": {filepath.Join(dir, "wide.toml"), wide}, "CSCS_CONFIG": {filepath.Join(dir, "config.toml"), config},
	} {
		if err := os.WriteFile(f.file, []byte(f.text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, f.file)
	}
}

// TestSitePrecedence: config.toml counts before the site-wide file, and in each file the recipe before the cluster.
func TestSitePrecedence(t *testing.T) {
	siteFiles(t, `
[clusters.eiger]
time = "10"
account = "site"
partition = "site"
qos = "site"
[recipes.r]
command = ["x"]
cluster = "eiger"
time = "20"
account = "recipe"
partition = "recipe"
lease = "2h"
`, `
default_cluster = "daint"
[clusters.eiger]
time = "30"
account = "mine"
keep = true
[recipes.r]
time = "40"
`)
	c := capture(t, nil, "run", "r", "--no-browser")
	if c.code != 0 || c.err != "" {
		t.Fatal(c.err)
	}
	got := strings.Join([]string{c.run.Cluster, c.run.Request.Time, c.run.Request.Account, c.run.Request.Partition, c.run.Request.QOS, c.run.Lease.String()}, " ")
	if want := "eiger 40 mine recipe site 0s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	t.Setenv("CSCS_ACCOUNT", "variable")
	if c = capture(t, nil, "run", "r", "--no-browser", "--time", "50"); c.run == nil || c.run.Request.Account != "variable" || c.run.Request.Time != "50" {
		t.Errorf("%+v %s", c.run, c.err)
	}
}

// TestDocumentedSiteFile: the example for administrators has no mistake, and decides what the page says.
func TestDocumentedSiteFile(t *testing.T) {
	docs, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(docs), "\n### The site-wide file\n")
	_, rest, _ := strings.Cut(section, "```toml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	siteFiles(t, example, "")
	if c := capture(t, nil, "config", "check"); c.code != 0 || c.err != "" {
		t.Errorf("exit code %d: %s", c.code, c.err)
	}
	c := capture(t, nil, "run", "notes", "--no-browser")
	if c.code != 0 || c.err != "" || c.run == nil {
		t.Fatalf("exit code %d: %s", c.code, c.err)
	}
	var hops []string
	for _, h := range c.run.Hops {
		hops = append(hops, h.Addr)
	}
	got := strings.Join([]string{c.run.Cluster, strings.Join(hops, " "), c.run.Request.Time, c.run.Idle.String(), c.run.App.Argv[0]}, ", ")
	if want := "alpha, gate.example.org:22 alpha.example.org:22, 01:00:00, 1h0m0s, marimo"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if c := capture(t, nil, "config", "show", "--origin"); !strings.Contains(c.out, "endpoint = 'https://sign.example.org/keys'") {
		t.Errorf("no signing service of the centre:\n%s", c.out)
	}
}

// TestSiteIgnored: a site-wide file with an error is reported once, in one line, and stops no command.
func TestSiteIgnored(t *testing.T) {
	siteFiles(t, "default_cluster = 'eiger'\nacount = 'x'\n", "default_cluster = 'daint'")
	file := os.Getenv("CSCS_SITE_CONFIG")
	want := "cscs: " + file + ":2:1: unknown key acount; the whole file is ignored\nhint: fix it: ${EDITOR:-vi} " + file + "\n"
	c := capture(t, nil, "run", "--no-browser", "--", "x")
	if c.code != 0 || c.err != want || c.out != "" || c.run == nil || c.run.Cluster != "daint" {
		t.Errorf("code %d, stdout %q, stderr %q, want %q", c.code, c.out, c.err, want)
	}
	var errs bytes.Buffer
	d := &deps{io: &ui.IO{Err: &errs}}
	for range 2 { // many commands look twice
		if _, err := d.loadSites(); err != nil || errs.String() != want {
			t.Errorf("%v, stderr %q", err, errs.String())
		}
	}
	if c := capture(t, nil, "__complete", "run", "-c", "ei"); strings.Contains(c.err, "acount") || !strings.Contains(c.out, "eiger") {
		t.Errorf("a completion: %q, %q", c.out, c.err)
	}
}

// TestSitePresetIgnored: a preset that the flag refuses is an error in the site-wide file like any other, also if no
// command uses it, or if config.toml hides it.
func TestSitePresetIgnored(t *testing.T) {
	for _, config := range []string{"", "[clusters.daint]\ntime = '30m'"} {
		siteFiles(t, "[clusters.daint]\naccount = 'site'\ntime = '2x'\n", config)
		file := os.Getenv("CSCS_SITE_CONFIG")
		c := capture(t, nil, "run", "-c", "daint", "--no-browser", "--", "x")
		if c.code != 0 || c.run == nil || c.run.Request.Account != "" || !strings.HasPrefix(c.err, "cscs: "+file+":3:1: time 2x: it is no time limit") || strings.Count(c.err, "\n") != 2 {
			t.Errorf("code %d, stderr %q, %+v", c.code, c.err, c.run)
		}
	}
}

// TestSiteIgnoredAddsUp: a config.toml that adds to a site-wide file that is ignored stops no command, and leads none
// to another host.
func TestSiteIgnoredAddsUp(t *testing.T) {
	siteFiles(t, "acount = 'x'\n[clusters.alpha]\nhost = 'a.org'\n[recipes.r]\ncommand = ['x']\n", "[recipes.r]\ntime = '3h'\n[clusters.alpha]\naccount = 'x'\n")
	for line, want := range map[string]int{"run -c daint --no-browser -- x": 0, "run -c alpha --no-browser -- x": 2} {
		c := capture(t, nil, strings.Fields(line)...)
		if c.code != want || (c.run != nil) != (line == "run -c daint --no-browser -- x") {
			t.Errorf("%s: code %d: %s", line, c.code, c.err)
		}
	}
	var stopped []string
	d := recordStops(t, &stopped, map[string]string{"aaaaaaaa": "daint", "bbbbbbbb": "alpha"})
	if code := runCommandLine(t.Context(), []string{"stop", "aaaa"}, d); code != 0 || !slices.Equal(stopped, []string{"aaaaaaaa"}) {
		t.Errorf("stop on daint: exit code %d; stopped %v", code, stopped)
	}
	if code := runCommandLine(t.Context(), []string{"stop", "bbbb"}, d); code != 2 || len(stopped) != 1 {
		t.Errorf("stop on alpha: exit code %d; stopped %v", code, stopped)
	}
}

// TestNoOtherServiceForSecrets: while the site-wide file is ignored, CSCS's service does not stand in for one that is
// defined there.
func TestNoOtherServiceForSecrets(t *testing.T) {
	for _, config := range []string{"[clusters.mine]\nhost = 'mine.org'\nsigning = 'centre'\n", ""} {
		siteFiles(t, "acount = 'x'\n[signing.centre]\nkind = 'sshservice'\nendpoint = 'https://a.org'\n", config)
		d := newDeps(nil)
		d.io = &ui.IO{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}
		if s, err := d.newKeySigner(t.Context(), &keyOptions{}, nil); err == nil || problem.Of(err).Code != problem.Usage {
			t.Errorf("%q: %+v, %v", config, s, err)
		}
		if _, err := d.newKeySigner(t.Context(), &keyOptions{service: "cscs"}, nil); err != nil {
			t.Errorf("%q with --service: %v", config, err)
		}
	}
}

// TestBadValuesStaySecret: a refused value of env, setup or slurm is not printed, since logs of a CI keep what is. The
// message has the name of the variable or option.
func TestBadValuesStaySecret(t *testing.T) {
	const config = `[recipes.r]
command = ["x"]
env = {API-KEY = "hunter2"}
slurm = [%s]
setup = ["hunter2\u0000"]
`
	for option, want := range map[string]string{
		"hunter2":                 "slurm: it must be an option",
		"--comment the hunter2":   "slurm --comment: it must be one word: --slurm='--comment=VALUE'",
		"-C the hunter2":          "slurm: it must be one word: --slurm='-CVALUE'",
		"--output=hunter2":        "slurm --output: ",
		"--job-name=it's hunter2": "slurm --job-name: ",
	} {
		siteFiles(t, "", strings.Replace(config, "%s", strconv.Quote(option), 1))
		c := capture(t, nil, "config", "check")
		if c.code != 2 || strings.Contains(c.err, "hunter2") || !strings.Contains(c.err, ":3:1: env API-KEY: ") || !strings.Contains(c.err, ":4:1: "+want) || !strings.Contains(c.err, ":5:1: setup: it has a control character") {
			t.Errorf("%s: code %d: %s", option, c.code, c.err)
		}
		t.Setenv("CSCS_SLURM", option)
		if c := capture(t, nil, "run", "-c", "daint", "--", "x"); c.code != 2 || strings.Contains(c.err, "hunter2") || !strings.HasPrefix(c.err, "cscs: CSCS_SLURM") {
			t.Errorf("CSCS_SLURM=%s: code %d: %s", option, c.code, c.err)
		}
		t.Setenv("CSCS_SLURM", "")
	}
}
