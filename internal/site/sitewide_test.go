package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// siteHome is home with a site-wide file, which it returns.
func siteHome(t *testing.T, sshConfig, config, wide string) string {
	t.Helper()
	file := filepath.Join(home(t, sshConfig, config), "wide.toml")
	if err := os.WriteFile(file, []byte(wide), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CSCS_SITE_CONFIG", file)
	return file
}

// TestSiteRoute: config.toml counts before ~/.ssh/config, and that before the site-wide file, key by key.
func TestSiteRoute(t *testing.T) {
	const wide = "[clusters.lab]\nhost='lab.org'\njump=['gate']\nuser='course'\nidentity='~/.ssh/wide'\nport=2222\n[hosts.gate]\nhost='gate.org'\nport=2200"
	for _, tt := range []struct{ name, ssh, config, wide, cluster, want string }{
		{name: "the file alone", wide: wide, cluster: "lab",
			want: "gate=course@gate.org:2200 wide | lab=course@lab.org:2222 wide"},
		{name: "ssh's user, port and key", wide: wide, cluster: "lab", ssh: "Host lab\nUser me\nPort 23\nIdentityFile ~/k",
			want: "gate=course@gate.org:2200 wide | lab=me@lab.org:23 k"},
		{name: "ssh's key for every host", wide: wide, cluster: "lab", ssh: "Host *\nIdentityFile ~/k",
			want: "gate=course@gate.org:2200 k | lab=course@lab.org:2222 k"},
		{name: "ssh's destination has its own port", wide: wide, cluster: "lab", ssh: "Host lab\nHostName here",
			want: "gate=course@gate.org:2200 wide | lab=course@here:22 wide"},
		{name: "ssh's destination is the same", wide: wide, cluster: "lab", ssh: "Host lab\nHostName lab.org",
			want: "gate=course@gate.org:2200 wide | lab=course@lab.org:2222 wide"},
		{name: "ssh's jump host", wide: wide, cluster: "lab", ssh: "Host lab.org\nProxyJump other",
			want: "other=course@other:22 wide | lab=course@lab.org:2222 wide"},
		{name: "config.toml's user and port", wide: wide, cluster: "lab", ssh: "Host lab.org\nUser me\nPort 23", config: "[clusters.lab]\nuser='x'\nport=24",
			want: "gate=x@gate.org:2200 wide | lab=x@lab.org:24 wide"},
		{name: "config.toml's host and jump", wide: wide, cluster: "lab", config: "[clusters.lab]\nhost='l2'\njump=[]\nidentity='i'",
			want: "lab=@l2:22 -i i"},
		{name: "config.toml's own cluster", wide: wide, cluster: "lab", config: "[clusters.lab]\nhost='mine.org'",
			want: "lab=@mine.org:22"},
		{name: "config.toml's own jump host", wide: wide, cluster: "lab", config: "[hosts.gate]\nhost='mine.org'",
			want: "gate=course@mine.org:22 wide | lab=course@lab.org:2222 wide"},
		{name: "config.toml adds to the cluster", wide: wide, cluster: "lab", config: "[clusters.lab]\naccount='x'\nuser='x'",
			want: "gate=x@gate.org:2200 wide | lab=x@lab.org:2222 wide"},
		{name: "config.toml's own address of what is built in", wide: "[clusters.daint]\nport=2022\njump=['gate']\n[hosts.gate]\nhost='g'", cluster: "daint", config: "[clusters.daint]\nhost='d2'",
			want: "ela=@ela.cscs.ch:22 | daint=@d2:22"},
		{name: "the file adds to what is built in", wide: "[clusters.daint]\nport=2022\n[hosts.ela]\nhost='ela2'", cluster: "daint",
			want: "ela=@ela2:22 | daint=@daint.alps.cscs.ch:2022"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T) {
				siteHome(t, tt.ssh, tt.config, tt.wide)
				hosts, err := route(t, tt.cluster, Overrides{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, short(hosts)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestSiteHostsAreApart: a jump host of the site-wide file is not the one that config.toml or ~/.ssh/config means by
// the same name.
func TestSiteHostsAreApart(t *testing.T) {
	const wide = "[hosts.gate]\nhost='elsewhere.org'\nuser='course'\nport=2200\nknown_hosts='/wide'\n[hosts.ela]\nhost='elsewhere.org'\n[clusters.lab]\nhost='lab.org'\njump=['gate']\n"
	for _, tt := range []struct{ name, ssh, config, cluster, want, known string }{
		{name: "jump of config.toml", cluster: "mine", config: "[clusters.mine]\nhost='mine.org'\nuser='root'\njump=['gate']",
			want: "gate=root@gate:22 | mine=root@mine.org:22"},
		{name: "with a user", cluster: "mine", config: "[clusters.mine]\nhost='mine.org'\njump=['bob@gate']",
			want: "gate=bob@gate:22 | mine=flag@mine.org:22"},
		{name: "a host that is built in", cluster: "mine", config: "[clusters.mine]\nhost='mine.org'\njump=['ela']",
			want: "ela=@ela.cscs.ch:22 | mine=@mine.org:22"},
		{name: "ProxyJump", cluster: "mine", ssh: "Host mine\nHostName mine.org\nProxyJump gate",
			want: "gate=@gate:22 | mine=@mine.org:22"},
		{name: "ProxyJump of a cluster that is built in", cluster: "daint", ssh: "Host daint.alps.cscs.ch\nProxyJump gate",
			want: "gate=@gate:22 | daint=@daint.alps.cscs.ch:22"},
		{name: "the user of config.toml", cluster: "mine", config: "[clusters.mine]\nhost='mine.org'\njump=['gate']\n[hosts.gate]\nuser='x'",
			want: "gate=x@gate:22 | mine=@mine.org:22"},
		{name: "the file's own", cluster: "lab",
			want: "gate=course@elsewhere.org:2200 | lab=@lab.org:22", known: "/wide"},
		{name: "the file's own, after cscs ssh-config --install", cluster: "lab", ssh: "Host gate\nHostName elsewhere.org\nPort 2200\nHost lab\nHostName lab.org\nProxyJump gate",
			want: "gate=@elsewhere.org:2200 | lab=@lab.org:22", known: "/wide"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T) {
				siteHome(t, tt.ssh+"\nHost *\nGlobalKnownHostsFile none", tt.config, wide)
				ov := Overrides{}
				if tt.name == "with a user" {
					ov.User = "flag"
				}
				hosts, err := route(t, tt.cluster, ov)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, short(hosts)); diff != "" {
					t.Error(diff)
				}
				if got := strings.Join(hosts[0].GlobalKnownHosts, " "); got != tt.known {
					t.Errorf("host keys of the first host: %q", got)
				}
			})
		})
	}
}

// TestSiteControlPath: the socket of an ssh at another port is not taken for one at the site's port.
func TestSiteControlPath(t *testing.T) {
	siteHome(t, "Host *\nControlPath /run/m-%r@%h:%p", "", "[clusters.lab]\nhost='lab.org'\nport=2222")
	hosts, err := route(t, "lab", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(hosts[0].ControlPath, "@lab.org:2222") {
		t.Error(hosts[0].ControlPath)
	}
}

// TestSiteKnownHosts: host keys of the site-wide file are in addition to those that ssh knows.
func TestSiteKnownHosts(t *testing.T) {
	for config, want := range map[string][2]string{
		"": {"/u", "/g /wide"},
		"[clusters.lab]\nknown_hosts='/own/file'": {"/own/file", ""},
	} {
		siteHome(t, "Host *\nUserKnownHostsFile /u\nGlobalKnownHostsFile /g", config, "[clusters.lab]\nhost='lab.org'\nknown_hosts='/wide'")
		hosts, err := route(t, "lab", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		got := [2]string{strings.Join(hosts[0].UserKnownHosts, " "), strings.Join(hosts[0].GlobalKnownHosts, " ")}
		if got != want {
			t.Errorf("%q: %q, want %q", config, got, want)
		}
	}
}

// TestSiteSettings: presets of config.toml hide those of the site-wide file, one by one.
func TestSiteSettings(t *testing.T) {
	const wide = `default_cluster = 'eiger'
[clusters.daint]
time = '1h'
account = 'site'
lease = '2h'
[recipes.r]
command = ['site']
port = 1
env = {A = 'site', B = 'site'}
time = '1h'
[recipes.s]
command = ['site']
setup = 'site'
[signing.own]
kind = 'sshservice'
endpoint = 'https://sign.example.org'
per_day = 3
`
	siteHome(t, "", "[clusters.daint]\ntime='2h'\nkeep=true\nsigning='own'\n[recipes.r]\nenv={B='me',C='me'}\ntime='2h'\n[recipes.s]\ncommand=['me']\n[signing.own]\nper_day=7", wide)
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.Ignored != nil {
		t.Fatal(c.Ignored)
	}
	text := func(settings []Setting) string {
		var all []string
		for _, s := range settings {
			from := ""
			if c.IsSiteWide(s) {
				from = "site:"
			}
			all = append(all, from+s.Flag+"="+strings.Join(s.Values, ","))
		}
		return strings.Join(all, " ")
	}
	cl, err := c.Cluster(t.Context(), "daint")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Recipe("r")
	if err != nil {
		t.Fatal(err)
	}
	own, err := c.Recipe("s")
	if err != nil {
		t.Fatal(err)
	}
	signing, err := c.Signing(cl.Signing)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want string }{
		{text(cl.Settings), "time=2h keep=true site:account=site"},
		{text(r.Settings), "time=2h env=B=me,C=me site:env=A=site site:port=1"},
		{strings.Join(r.Command, " "), "site"},
		{strings.Join(own.Command, " ") + text(own.Settings), "me"}, // nothing is added to the user's own command
		{signing.Endpoint, "https://sign.example.org"},
		{c.Default(), "daint"}, // as without the file
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
	if signing.PerDay != 7 {
		t.Error(signing.PerDay)
	}
	siteHome(t, "", "", wide)
	if c, err = Load(); err != nil || c.Default() != "eiger" {
		t.Errorf("default %v, %v", c, err)
	}
}

// TestOwnClusterIsTheUsers: of a cluster and a service that config.toml defines itself, nothing of the site-wide file
// counts: no presets, no signing service, no place where secrets are sent.
func TestOwnClusterIsTheUsers(t *testing.T) {
	const service = "kind='cscs'\nissuer='https://login.example.org'\nclient_id='x'\nredirect='http://localhost:1'\n"
	const wide = "[signing.own]\n" + service + "endpoint='https://site.org'\naccount_endpoint='https://site.org'\n[clusters.lab]\nhost='site.org'\naccount='site'\nsigning='own'\n[clusters.lab2]\nhost='site.org'"
	siteHome(t, "", "[signing.own]\n"+service+"endpoint='https://mine.org'\n[clusters.lab]\nhost='mine.org'\ntime='1h'", wide)
	c, err := Load()
	if err != nil || c.Ignored != nil {
		t.Fatal(err, c.Ignored)
	}
	cl, err := c.Cluster(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	if len(cl.Settings) != 1 || cl.Signing != "" {
		t.Errorf("%+v, signing service %q", cl.Settings, cl.Signing)
	}
	if s, err := c.Signing("own"); err != nil || s.Account != "" || s.Endpoint != "https://mine.org" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, e := range c.Entries() {
		if path := strings.Join(e.Path, "."); e.Pos.File == c.SitePath && path != "clusters.lab2.host" {
			t.Errorf("%s of the site-wide file is shown", path)
		}
	}
	all, err := c.Aliases(t.Context(), os.DevNull, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Name)
	}
	if want := strings.Fields("ela besso beverin bristen clariden daint eiger lab2 santis"); !cmp.Equal(names, want) {
		t.Errorf("aliases %v, want %v", names, want)
	}
}

// TestUsersFileIsNotSiteWide: a file that the user names as config.toml is the user's alone, also at the place of the
// site-wide file.
func TestUsersFileIsNotSiteWide(t *testing.T) {
	file := siteHome(t, "", "", "persist = '1h'\n[clusters.daint]\nsetup='x'")
	link := filepath.Join(filepath.Dir(file), "link.toml")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, own := range []string{file, link} {
		t.Setenv("CSCS_CONFIG", own)
		c, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		cl, err := c.Cluster(t.Context(), "daint")
		if err != nil {
			t.Fatal(err)
		}
		if c.Ignored != nil || len(cl.Settings) != 2 || c.IsSiteWide(cl.Settings[0]) {
			t.Errorf("%s: %v, %+v", own, c.Ignored, cl.Settings)
		}
	}
}

// TestCheckNames: the names of clusters and services in the files must exist. A Host of ~/.ssh/config and a cluster
// that is made on demand do.
func TestCheckNames(t *testing.T) {
	const config = `default_cluster = %q
[recipes.r]
command = ['x']
cluster = %q
[signing.sshservice]
counts_with = %q
`
	made := Made{Name: "demo", Make: func(context.Context) (string, error) { t.Error("a cluster was made"); return "", nil }}
	for _, tt := range []struct{ text, want string }{
		{fmt.Sprintf(config, "daint", "demo", "cscs"), ""},
		{fmt.Sprintf(config, "mylab", "wide", "sshservice"), ""},
		{fmt.Sprintf(config, "daitn", "nosuch", "cscss"), "1:1 4:1 6:1"},
	} {
		siteHome(t, "Host mylab\nHostName lab.example.org", tt.text, "[clusters.wide]\nhost='x'\n")
		c, err := Check(t.Context(), "", nil, made)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range SortProblems(c.Problems) {
			got = append(got, fmt.Sprintf("%d:%d", p.Line, p.Column))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s\n%v, want problems at %s", tt.text, c.Problems, tt.want)
		}
	}
}

// TestCheckSiteFile: the site-wide file is checked as such, also if it is named in place of config.toml.
func TestCheckSiteFile(t *testing.T) {
	file := siteHome(t, "", "[clusters.daint]\nsetup='mine'", "[clusters.daint]\nsetup='x'")
	c, err := Check(t.Context(), file, nil)
	if err != nil || len(c.Problems) != 1 || c.Problems[0].File != file || c.Site != file || filepath.Base(c.User) != "config.toml" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestManyTypeErrors: the search for values of a wrong type has an end.
func TestManyTypeErrors(t *testing.T) {
	text := ""
	for i := range 2 * maxTypeErrors {
		text += fmt.Sprintf("[clusters.x%d]\nport='x'\n", i)
	}
	if _, _, problems := parseConfig("c.toml", []byte(text)); len(problems) != maxTypeErrors {
		t.Error(len(problems))
	}
}

// TestSiteAliases: ssh learns of the clusters of the site-wide file too, each once.
func TestSiteAliases(t *testing.T) {
	siteHome(t, "", "", "[clusters.lab]\nhost='lab.org'\njump=['ela']\nport=2222\n[clusters.daint]\naccount='x'")
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Aliases(t.Context(), os.DevNull, Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, a := range all {
		times[a.Name] += a.Port
	}
	if times["daint"] != 22 || times["lab"] != 2222 || times["ela"] != 22 {
		t.Error(times)
	}
}

// TestSiteRefusals: the site-wide file decides no command that the user does not ask for, and nothing of a
// refused file is used.
func TestSiteRefusals(t *testing.T) {
	const ok = "[clusters.new]\nhost='x'\n"
	for _, tt := range []struct{ text, want string }{
		{"ssh_config = '/x'\n" + ok, "wide.toml:1:1: ssh_config cannot be set for all users"},
		{"persist = '1h'\n" + ok, "wide.toml:1:1: persist cannot be set for all users"},
		{ok + "lease = '0s'", "wide.toml:3:1: lease cannot be 0 for all users"},
		{ok + "lease = '0.0000000000001ns'", "wide.toml:3:1: lease cannot be 0 for all users"},
		{ok + "keep = true", "wide.toml:3:1: keep cannot be set for a cluster and all users"},
		{ok + "jump = ['ela', 'root@gate']", "wide.toml:3:1: a jump host for all users has no user and no port"},
		{ok + "jump = ['gate:2200']", "wide.toml:3:1: a jump host for all users has no user and no port"},
		{"[signing.cscs]\naccount_endpoint='https://x.org'\n" + ok, "wide.toml:1:2: signing service cscs is built in and cannot be changed"},
		{"[signing.sshservice]\nendpoint='https://x.org'\n" + ok, "wide.toml:1:2: signing service sshservice is built in and cannot be changed"},
		{"[signing.own]\nkind='sshservice'\nendpoint='https://x.org'\n[clusters.daint]\nsigning='own'\n" + ok, "wide.toml:5:1: daint is built in: its signing service cannot be one of this file"},
		{ok + "setup = 'x'", "wide.toml:3:1: setup cannot be set for a cluster and all users: set it in a recipe"},
		{ok + "acount = 'x'", "wide.toml:3:1: unknown key clusters.new.acount, did you mean account?"},
		{ok + "[clusters.new", "wide.toml:3:13: "},
	} {
		file := siteHome(t, "", "", tt.text)
		c, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		var ce *ConfigError
		if !errors.As(c.Ignored, &ce) || !strings.HasPrefix(ce.Error(), filepath.Dir(file)+"/"+tt.want) {
			t.Errorf("got  %v\nwant %s", c.Ignored, tt.want)
		}
		if len(c.Known()) != 7 {
			t.Errorf("known: %v", c.Known())
		}
	}
	t.Setenv("CSCS_SITE_CONFIG", "/elsewhere/x.toml")
	t.Setenv("CSCS_CONFIG", os.DevNull)
	if c, err := Load(); err != nil || c.Ignored == nil || c.Ignored.Error() != "/elsewhere/x.toml: cannot be read: no such file or directory" {
		t.Errorf("a file that was named must be there: %v, %v", c, err)
	}
}

// TestSiteCannotReplaceMade: the site-wide file cannot replace a cluster that is made on demand, because a user could
// not rename it.
func TestSiteCannotReplaceMade(t *testing.T) {
	demo := Made{Name: "demo", Make: func(context.Context) (string, error) { return "", errors.New("made") }}
	file := siteHome(t, "", "", "[clusters.demo]\ntime='1h'")
	c, err := Load(demo)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Makes("demo") || c.Ignored == nil || !strings.HasPrefix(c.Ignored.Error(), file+":1:2: demo is the name of a cluster inside cscs") {
		t.Errorf("made: %v, ignored: %v", c.Makes("demo"), c.Ignored)
	}
	siteHome(t, "", "[clusters.demo]\nhost='mine.org'", "")
	if c, err := Load(demo); err != nil || c.Makes("demo") {
		t.Errorf("a user can replace it: %v", err)
	}
}

// TestIgnoredSiteFile: while the site-wide file is ignored, config.toml may add to what only that file defines. No
// command goes to a bare name of the DNS because the file that has the host is ignored.
func TestIgnoredSiteFile(t *testing.T) {
	const config = "[recipes.r]\ntime='3h'\n[clusters.daint]\nsigning='centre'\n[signing.centre]\nper_day=7\n[clusters.alpha]\naccount='x'\n"
	for _, tt := range []struct{ name, ssh, config, want string }{
		{name: "no host", want: "unknown"},
		{name: "a host of ~/.ssh/config", ssh: "Host alpha\nHostName a.org", want: "alpha=@a.org:22"},
		{name: "a jump host of ~/.ssh/config", ssh: "Host alpha\nProxyJump gate", want: "gate=@gate:22 | alpha=@alpha:22"},
		{name: "a host of config.toml", config: "host='alpha'", want: "alpha=@alpha:22"},
	} {
		bothWays(t, func(t *testing.T) {
			siteHome(t, tt.ssh, config+tt.config, "acount='x'\n[clusters.alpha]\nhost='a.org'")
			c, err := Load()
			if err != nil || c.Ignored == nil {
				t.Fatal(tt.name, err)
			}
			if _, err := c.Recipe("r"); !errors.As(err, new(*UnknownRecipeError)) {
				t.Error(tt.name, err)
			}
			if cl, err := c.Cluster(t.Context(), "daint"); err != nil || cl.Signing != "" {
				t.Errorf("%s: %+v, %v", tt.name, cl, err)
			}
			if _, err := c.Signing("centre"); !errors.As(err, new(*UnknownSigningError)) {
				t.Error(tt.name, err)
			}
			hosts, err := route(t, "alpha", Overrides{})
			got := short(hosts)
			var unknown *UnknownClusterError
			if errors.As(err, &unknown) && strings.Contains(err.Error(), "wide.toml may define it, but is ignored") {
				got = "unknown"
			}
			if got != tt.want {
				t.Errorf("%s: got %s (%v), want %s", tt.name, got, err, tt.want)
			}
		})
	}
	siteHome(t, "", "default_cluster = 7", "x=1\n")
	if _, err := Load(); err == nil {
		t.Error("an error in config.toml does not follow from the ignored file")
	}
}

// TestSitePresets: each preset is either harmless for a cluster or refused there. A new one is refused.
func TestSitePresets(t *testing.T) {
	var may []string
	for _, key := range keysOf(defaults{}) {
		if mayPresetForAll(strings.ReplaceAll(key, "_", "-")) {
			may = append(may, key)
		}
	}
	want := strings.Fields("time account partition qos nodes nodelist gpus mem constraint reservation via queue_timeout start_timeout lease idle no_browser no_notify no_sign")
	if diff := cmp.Diff(want, may); diff != "" {
		t.Error(diff)
	}
}
