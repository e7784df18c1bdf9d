package site

import (
	gocmp "cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// TestEntriesAreWhatCounts: a file that consists of the entries gives the same configuration, also if nothing
// is built in.
func TestEntriesAreWhatCounts(t *testing.T) {
	for _, tt := range []struct{ name, wide, config string }{
		{"nothing", "", ""},
		{"what is built in counts again", "[clusters.daint]\njump=['gate']\nsigning=''\nknown_hosts='/x'\naccount='site'\n[hosts.ela]\nhost='e2'\nuser='u'\nport=7", "[clusters.daint]\nhost='d2'\n[hosts.ela]\nhost='mine'"},
		{"empty strings", "default_cluster='eiger'\n[clusters.daint]\naccount='g1'\nuser='u'\n[clusters.x]\nhost='h'", "default_cluster=''\n[clusters.daint]\naccount=''\nuser=''\n[clusters.eiger]\nidentity=''\n[clusters.x]\ntime=''"},
		{"empty values that count", "[clusters.x]\nhost='h'\njump=['ela']\nsigning='cscs'\n[recipes.r]\ncommand=['x']\nslurm=['-n1']\nsetup='s'\nenv={A='1',B='2'}\nkeep=true", "[clusters.x]\njump=[]\nsigning=''\n[recipes.r]\nslurm=[]\nenv={A=''}\nlease='1h'"},
		{"zeros", "[signing.s]\nkind='sshservice'\nendpoint='https://x.org'\nper_day=3\n[recipes.r]\ncommand=['x']\nport=8\nnodes=2", "[signing.s]\nper_day=0\n[recipes.r]\nport=0\nnodes=0"},
		{"tables with nothing in them", "", "[clusters.a]\naccount=''\n[clusters.b]\n[clusters.b.env]\n[clusters.c]"},
		{"a service of the user", "[signing.s]\nkind='sshservice'\nendpoint='https://x.org'\nper_day=3", "[signing.s]\nkind='sshservice'\nendpoint='https://mine.org'"},
		{"a recipe of the user", "[recipes.r]\ncommand=['x']\ntime='1h'", "[recipes.r]\ncommand=['y']\nnodes=2"},
	} {
		siteHome(t, "", tt.config+"\n", tt.wide)
		c, err := Load()
		if err != nil || c.Ignored != nil {
			t.Fatal(tt.name, err, c.Ignored)
		}
		text := writeEntries(t, c)
		want := describeConfig(c)
		shown := &Config{base: &Config{}, clusters: map[string]Cluster{}, hosts: map[string]spec{}, ownHosts: map[string]spec{}, signing: map[string]Signing{}, recipes: map[string]Recipe{}}
		if problems := shown.mergeText("shown.toml", []byte(text), originUser); len(problems) > 0 {
			t.Error(tt.name, problems[0], text)
		}
		if diff := cmp.Diff(want, describeConfig(shown)); diff != "" {
			t.Errorf("%s:\n%s\n%s", tt.name, diff, text)
		}
	}
}

// writeEntries returns the entries as a config.toml.
func writeEntries(t *testing.T, c *Config) string {
	t.Helper()
	tree := map[string]any{}
	for _, e := range c.Entries() {
		at := tree
		last := len(e.Path) - 1
		if e.Value == nil {
			last++
		}
		for _, key := range e.Path[:last] {
			if at[key] == nil {
				at[key] = map[string]any{}
			}
			at = at[key].(map[string]any)
		}
		if e.Value != nil {
			at[e.Path[last]] = e.Value
		}
	}
	text, err := toml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// describeConfig returns what a configuration says of each cluster, host, service and recipe, whichever file says it.
func describeConfig(c *Config) map[string]string {
	out := map[string]string{"default": c.Default()}
	describe := func(s spec, l, site login) string {
		return fmt.Sprintln(s.host, s.jump, gocmp.Or(l.user, site.user), gocmp.Or(l.port, site.port), gocmp.Or(l.identity, site.identity), gocmp.Or(l.knownHosts, site.knownHosts))
	}
	settings := func(all []Setting) string {
		values := map[string][]string{}
		for _, s := range all {
			values[s.Flag] = append(values[s.Flag], s.Values...)
			if s.Flag == "env" {
				slices.Sort(values[s.Flag])
			}
		}
		return fmt.Sprint(values)
	}
	for n, cl := range c.clusters {
		out["cluster "+n] = describe(cl.spec, cl.spec.login, cl.spec.site) + cl.Signing + settings(cl.Settings)
	}
	for n, s := range c.hosts {
		out["host "+n] = describe(s, s.login, s.site)
	}
	for n, s := range c.signing {
		out["service "+n] = fmt.Sprintf("%+v", s)
	}
	for n, r := range c.recipes {
		out["recipe "+n] = strings.Join(r.Command, " ") + settings(r.Settings)
	}
	return out
}
