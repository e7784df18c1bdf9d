package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// home makes a HOME with these files (~/.ssh/config, .config/cscs/config.toml)
// and hides the machine's own. ssh itself takes the home directory from
// the password database, hence CSCS_SSH_CONFIG.
func home(t *testing.T, sshConfig, config string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{".ssh/config": sshConfig, ".config/cscs/config.toml": config} {
		if name == ".config/cscs/config.toml" && content == "" {
			continue
		}
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, ".config"))
	t.Setenv("CSCS_CONFIG", "")
	t.Setenv("CSCS_SITE_CONFIG", os.DevNull)
	t.Setenv("CSCS_SSH_CONFIG", filepath.Join(dir, ".ssh", "config"))
	return dir
}

// bothWays runs f with the machine's ssh and without any.
func bothWays(t *testing.T, f func(t *testing.T)) {
	t.Run("ssh -G", f)
	t.Run("no ssh", func(t *testing.T) {
		t.Setenv("PATH", "")
		f(t)
	})
}

func route(t *testing.T, cluster string, ov Overrides) ([]Host, error) {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := c.Cluster(t.Context(), cluster)
	if err != nil {
		return nil, err
	}
	return c.Route(t.Context(), cl, ov)
}

// short is a way in one line: name=user@addr, with the keys that would be tried.
func short(hosts []Host) string {
	var out []string
	for _, h := range hosts {
		s := fmt.Sprintf("%s=%s@%s", h.Name, h.User, h.Addr())
		if h.Identity != "" {
			s += " -i " + filepath.Base(h.Identity)
		}
		for _, f := range h.IdentityFiles {
			s += " " + filepath.Base(f)
		}
		out = append(out, s)
	}
	return strings.Join(out, " | ")
}

const recommended = `
Host ela
    HostName ela.cscs.ch
    User bobsmith
    IdentityFile ~/.ssh/cscs-key

Host daint
    HostName daint.alps.cscs.ch
    User bobsmith
    ProxyJump ela
    IdentityFile ~/.ssh/cscs-key
    IdentitiesOnly yes
`

func TestRoute(t *testing.T) {
	for _, tt := range []struct {
		name, ssh, config, cluster string
		ov                         Overrides
		want                       string
	}{
		{name: "nothing configured", cluster: "daint",
			want: "ela=@ela.cscs.ch:22 | daint=@daint.alps.cscs.ch:22"},
		{name: "the recommended configuration", ssh: recommended, cluster: "daint",
			want: "ela=bobsmith@ela.cscs.ch:22 cscs-key | daint=bobsmith@daint.alps.cscs.ch:22 cscs-key"},
		{name: "aliases only for ela", ssh: recommended, cluster: "eiger",
			want: "ela=bobsmith@ela.cscs.ch:22 cscs-key | eiger=@eiger.alps.cscs.ch:22"},
		{name: "full names", ssh: "Host *.cscs.ch\nUser bob\nIdentityFile ~/.ssh/k", cluster: "santis",
			want: "ela=bob@ela.cscs.ch:22 k | santis=bob@santis.alps.cscs.ch:22 k"},
		{name: "besso is elsewhere", cluster: "besso",
			want: "ela=@ela.cscs.ch:22 | besso=@besso.vc.cscs.ch:22"},
		{name: "flags win over all", ssh: recommended, config: "[clusters.daint]\nuser='carol'\nidentity='c'", cluster: "daint",
			ov:   Overrides{User: "alice", Identity: "/k/other"},
			want: "ela=alice@ela.cscs.ch:22 -i other cscs-key | daint=alice@daint.alps.cscs.ch:22 -i other cscs-key"},
		{name: "config.toml wins over ssh's, for the hosts it speaks of", ssh: recommended, cluster: "daint",
			config: "[clusters.daint]\nuser='carol'\nidentity='~/c'",
			want:   "ela=bobsmith@ela.cscs.ch:22 cscs-key | daint=carol@daint.alps.cscs.ch:22 -i c cscs-key"},
		{name: "config.toml's user and key serve the jump host too", cluster: "daint", config: "[clusters.daint]\nuser='carol'\nidentity='~/c'",
			want: "ela=carol@ela.cscs.ch:22 -i c | daint=carol@daint.alps.cscs.ch:22 -i c"},
		{name: "config.toml speaks of ela", ssh: recommended, cluster: "daint", config: "[hosts.ela]\nuser='dave'\nport=2222",
			want: "ela=dave@ela.cscs.ch:2222 cscs-key | daint=bobsmith@daint.alps.cscs.ch:22 cscs-key"},
		{name: "no jump host", ssh: recommended, cluster: "daint", config: "[clusters.daint]\njump=[]",
			want: "daint=bobsmith@daint.alps.cscs.ch:22 cscs-key"},
		{name: "own cluster through ela and a second host", cluster: "foo",
			config: "[clusters.foo]\nhost='login.foo.org'\njump=['ela','x@[fd00::1]:2200']\nport=23",
			want:   "ela=@ela.cscs.ch:22 | fd00::1=x@[fd00::1]:2200 | foo=@login.foo.org:23"},
		{name: "own cluster whose host is an alias", cluster: "foo", ssh: "Host bar\nHostName b.foo.org\nUser u\nProxyJump j\nHost j\nHostName j.foo.org",
			config: "[clusters.foo]\nhost='bar'",
			want:   "j=@j.foo.org:22 | foo=u@b.foo.org:22"},
		{name: "own cluster whose name is an alias", cluster: "bar", ssh: "Host bar\nHostName b.foo.org", config: "[clusters.bar]\naccount='x'",
			want: "bar=@b.foo.org:22"},
		{name: "only in ssh's", cluster: "lab", ssh: "Host lab\nHostName login.lab.edu\nProxyJump bob@gate:2222,second\nHost gate\nHostName gate.lab.edu\nUser nobody\nProxyJump outer\nHost second\nProxyJump unused",
			want: "outer=@outer:22 | gate=bob@gate.lab.edu:2222 | second=@second:22 | lab=@login.lab.edu:22"},
		{name: "known by its jump host alone", cluster: "lab", ssh: "Host lab\nProxyJump ela",
			want: "ela=@ela.cscs.ch:22 | lab=@lab:22"},
		{name: "a jump host with its own user keeps it", cluster: "lab", ssh: "Host lab\nProxyJump bob@gate", ov: Overrides{User: "alice"},
			want: "gate=bob@gate:22 | lab=alice@lab:22"},
		{name: "by the full name", cluster: "daint.alps.cscs.ch", ssh: recommended,
			want: "ela=bobsmith@ela.cscs.ch:22 cscs-key | daint=bobsmith@daint.alps.cscs.ch:22 cscs-key"},
		{name: "jump host for all hosts, itself among them", cluster: "daint", ssh: "Host *.cscs.ch\nProxyJump ela",
			want: "ela=@ela.cscs.ch:22 | daint=@daint.alps.cscs.ch:22"},
		{name: "a rule for all names does not make an alias", cluster: "daint", ssh: "Host *\nHostName %h.example.org\nHost *.cscs.ch\nUser x",
			want: "ela=x@ela.cscs.ch.example.org:22 | daint=x@daint.alps.cscs.ch.example.org:22"},
		{name: "a block that says only who we are", cluster: "daint", ssh: "Host daint\nUser me\nPort 2222\nIdentityFile ~/.ssh/mine\nHost *\nUser any\nIdentityFile ~/.ssh/all",
			want: "ela=any@ela.cscs.ch:22 all | daint=me@daint.alps.cscs.ch:2222 mine all"},
		{name: "the old way to say ProxyJump", cluster: "daint", ssh: "Host daint\nHostName daint.alps.cscs.ch\nProxyCommand /usr/bin/ssh -q -W [%h]:%p -l bob gate",
			want: "gate=bob@gate:22 | daint=@daint.alps.cscs.ch:22"},
		{name: "ssh's default keys are nobody's choice", cluster: "daint", ssh: "Host daint\nHostName d\nIdentityFile ~/.ssh/id_ed25519",
			want: "ela=@ela.cscs.ch:22 | daint=@d:22 id_ed25519"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T) {
				home(t, tt.ssh, tt.config)
				hosts, err := route(t, tt.cluster, tt.ov)
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

func TestRouteDetails(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		dir := home(t, `
Host daint
  HostName daint.alps.cscs.ch
  User bob
  Port 2022
  HostKeyAlias alps
  IdentityFile ~/.ssh/%h-%r
  IdentityFile "%d/with space"
  CertificateFile ${HOME}/x-cert.pub
  IdentitiesOnly yes
  IdentityAgent ~/agent
  UserKnownHostsFile ~/kh
  GlobalKnownHostsFile /etc/gkh /etc/gkh2
  StrictHostKeyChecking yes
  ConnectTimeout 7
  AddressFamily inet
`, "")
		if pw, _ := os.UserHomeDir(); pw != dir {
			t.Fatal("HOME is not the one of the test")
		}
		hosts, err := route(t, "daint", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		got := hosts[1]
		// ssh expands these two itself, with the home of the password database
		if len(got.UserKnownHosts) != 1 || filepath.Base(got.UserKnownHosts[0]) != "kh" {
			t.Errorf("UserKnownHosts = %q", got.UserKnownHosts)
		}
		if filepath.Base(got.IdentityAgent) != "agent" || strings.Contains(got.IdentityAgent, "~") {
			t.Errorf("IdentityAgent = %q", got.IdentityAgent)
		}
		got.UserKnownHosts, got.IdentityAgent = nil, ""
		want := Host{
			Name: "daint", Asked: "daint", HostName: "daint.alps.cscs.ch", Port: 2022, User: "bob", HostKeyAlias: "alps",
			IdentityFiles:    []string{filepath.Join(dir, ".ssh/daint.alps.cscs.ch-bob"), filepath.Join(dir, "with space")},
			CertificateFiles: []string{filepath.Join(dir, "x-cert.pub")}, IdentitiesOnly: true,
			GlobalKnownHosts:      []string{"/etc/gkh", "/etc/gkh2"},
			StrictHostKeyChecking: "yes", ConnectTimeout: 7e9, AddressFamily: "inet",
		}
		if strings.Contains(t.Name(), "no_ssh") {
			want.GlobalKnownHosts, got.GlobalKnownHosts = nil, nil // quoting and lists: see the fallback's own limits
		} else {
			want.StrictHostKeyChecking = got.StrictHostKeyChecking // "true" or "yes", by version
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRouteErrors(t *testing.T) {
	for _, tt := range []struct {
		name, ssh, config, cluster, want string
	}{
		{name: "nearest", cluster: "dain", want: `unknown cluster "dain", did you mean "daint"?`},
		{name: "swapped", cluster: "clairden", want: `unknown cluster "clairden", did you mean "clariden"?`},
		{name: "case", cluster: "Daint", want: `unknown cluster "Daint", did you mean "daint"?`},
		{name: "no idea", cluster: "jupiter", want: `unknown cluster "jupiter"`},
		{name: "option", cluster: "-oProxyCommand=x", want: `unknown cluster "-oProxyCommand=x"`},
		{name: "a rule for all names knows nobody", cluster: "jupiter", ssh: "Host *\nProxyJump gate\nHostName %h.org", want: `unknown cluster "jupiter"`},
		{name: "circle", cluster: "a", ssh: "Host a\nProxyJump b\nHost b\nProxyJump c\nHost c\nProxyJump b",
			want: "ssh's configuration for c: the jump hosts lead in a circle: a → b → c → b"},
		{name: "command", cluster: "a", ssh: "Host a\nProxyCommand corkscrew proxy 80 %h %p",
			want: "ssh's configuration reaches a by a ProxyCommand, which cscs cannot use: corkscrew proxy 80 %h %p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T) {
				home(t, tt.ssh, tt.config)
				hosts, err := route(t, tt.cluster, Overrides{})
				if err == nil {
					t.Fatalf("got the way %s", short(hosts))
				}
				if err.Error() != tt.want {
					t.Errorf("got  %s\nwant %s", err, tt.want)
				}
			})
		})
	}
}

func TestRefusedBySSH(t *testing.T) {
	dir := home(t, "Host daint\n\nFoo bar\n", "")
	_, err := route(t, "daint", Overrides{})
	var se *SSHConfigError
	if !errors.As(err, &se) {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(se.Message, filepath.Join(dir, ".ssh", "config")) || !strings.Contains(se.Message, "line 3") {
		t.Errorf("no file and line in: %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
}

func TestMatchExecThatHangs(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	home(t, "Match exec \"touch "+begun+"; sleep 60\"\nUser x\n", "")
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	cl, err := c.Cluster(ctx, "daint")
	if err != nil {
		t.Fatal(err)
	}
	routed := make(chan error, 1)
	go func() { _, err := c.Route(ctx, cl, Overrides{}); routed <- err }()
	waittest.Until(t, 20*time.Second, "ssh runs the command", func() bool { _, err := os.Stat(begun); return err == nil })
	cancel(stop)
	if err := waittest.Receive(t, 20*time.Second, "the end of Route", routed); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if _, err = c.Route(ctx, cl, Overrides{}); !errors.Is(err, stop) {
		t.Errorf("when it is over already: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	home(t, "Match host daint\nUser eve\nHost daint\nHostName d\nProxyCommand corkscrew %h", "")
	t.Run("ssh -G", func(t *testing.T) {
		hosts, err := route(t, "daint", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(hosts[1].Warnings, ""); got != "ssh's ProxyCommand for daint is not used; the route goes over ela" {
			t.Errorf("warnings: %q", got)
		}
	})
	t.Run("no ssh", func(t *testing.T) {
		t.Setenv("PATH", "")
		hosts, err := route(t, "daint", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if len(hosts[0].Warnings) != 1 || !strings.Contains(hosts[0].Warnings[0], "Match blocks") {
			t.Errorf("warnings: %q", hosts[0].Warnings)
		}
		if hosts[1].User != "" {
			t.Errorf("user %q of a Match block", hosts[1].User)
		}
	})
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"no file", "", ""},
		{"good", "default_cluster='daint'\n[clusters.daint]\naccount='g1'\ntime=30\nslurm=['--x']\n[clusters.daint.env]\nA='1'\n[recipes.mlflow]\ncommand=['mlflow','ui']\nport=5000\nno_browser=true", ""},
		{"syntax", "default_cluster = 'daint'\n[clusters.daint\n", "config.toml:2:16: "},
		{"type", "\ndefault_cluster = 7", "config.toml:2:19: default_cluster must be a string, not integer"},
		{"list for a string", "default_cluster = ['x']", "config.toml:1:"},
		{"string for a list", "[clusters.daint]\nslurm = '--x'", "config.toml:2:9: clusters.daint.slurm must be a list, not string"},
		{"string for a number", "[clusters.daint]\nport = '22'", "config.toml:2:8: clusters.daint.port must be a number, not string"},
		{"string for yes or no", "[recipes.x]\ncommand=['x']\nno_browser = 'yes'", "config.toml:3:14: recipes.x.no_browser must be true or false, not string"},
		{"string for a table", "clusters = 'x'", "config.toml:1:12: clusters must be a table, not string"},
		{"unknown key", "[clusters.daint]\nhost='x'\n  acount='g1'", "config.toml:3:3: unknown key clusters.daint.acount, did you mean account?"},
		{"unknown table", "[cluster.daint]\nhost='x'", "config.toml:1:2: unknown key cluster.daint, did you mean clusters?"},
		{"port", "[clusters.daint]\nport = 70000", "config.toml:2:1: port 70000 is not between 1 and 65535"},
		{"host port", "[hosts.ela]\nport = -1", "config.toml:2:1: port -1 is not between 1 and 65535"},
		{"jump", "[clusters.daint]\nhost='x'\njump = ['-oX']", "config.toml:3:1: \"-oX\" is not a jump host of the form [user@]host[:port]"},
		{"recipe without command", "[recipes.x]\nport=1", "config.toml:1:2: recipe x has no command"},
		{"name", "[clusters.'a b']\nhost='x'", "config.toml:1:2: \"a b\" cannot be the name of a cluster"},
		{"local port", "[clusters.daint]\nlocal_port=1", "config.toml:2:1: local_port belongs into a recipe: two sessions cannot share one"},
		{"a consequence: command", "[recipes.x]\ncomand=['x']", "config.toml:2:1: unknown key recipes.x.comand, did you mean command?"},
		{"a consequence: command is no list", "[recipes.x]\ncommand='x'", "config.toml:2:9: recipes.x.command must be a list, not string"},
		{"a consequence: kind", "[signing.x]\nkind = 5", "config.toml:2:8: signing.x.kind must be a string, not integer"},
		{"a consequence: endpoint", "[signing.x]\nkind='sshservice'\nendpiont='https://x'", "config.toml:3:1: unknown key signing.x.endpiont, did you mean endpoint?"},
		{"a consequence: a service further down", "[clusters.daint]\nsigning='own'\n[signing.own]\nkind = 5", "config.toml:4:8: signing.own.kind must be a string"},
		{"a service that there is not", "[clusters.daint]\nsigning='own'", "config.toml:2:1: there is no [signing.own]"},
		{"twice", "[clusters.daint]\nhost='x'\nhost='y'", "config.toml:3:1: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := home(t, "", tt.config)
			c, err := Load()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(c.Known()) != 7 {
					t.Errorf("known: %q", c.Known())
				}
				return
			}
			var ce *ConfigError
			if !errors.As(err, &ce) {
				t.Fatalf("got %v", err)
			}
			if got := strings.TrimPrefix(err.Error(), filepath.Join(dir, ".config/cscs")+"/"); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	dir := home(t, "", "[clusters.daint]\ntime = 30\nslurm = ['--a', '--b']\nsetup = 'module load x'\nenv = {B='2', A='1'}\nallow_wide_bind = false\nforward_new = true\n[recipes.r]\ncommand=['x']\nport = 5000\ncluster='daint'")
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, ".config/cscs/config.toml")
	cl, err := c.Cluster(t.Context(), "daint")
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"time", []string{"30"}, Position{file, 2, 1}},
		{"slurm", []string{"--a", "--b"}, Position{file, 3, 1}},
		{"setup", []string{"module load x"}, Position{file, 4, 1}},
		{"env", []string{"A=1", "B=2"}, Position{file, 5, 1}},
		{"allow-wide-bind", []string{"false"}, Position{file, 6, 1}},
		{"forward-new", []string{"true"}, Position{file, 7, 1}},
	}
	if diff := cmp.Diff(want, cl.Settings); diff != "" {
		t.Error(diff)
	}
	r, err := c.Recipe("r")
	if err != nil {
		t.Fatal(err)
	}
	want = []Setting{{"cluster", []string{"daint"}, Position{file, 11, 1}}, {"port", []string{"5000"}, Position{file, 10, 1}}}
	if diff := cmp.Diff(want, r.Settings); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Recipe("s"); err == nil || err.Error() != `unknown recipe "s", did you mean "r"?` {
		t.Errorf("got %v", err)
	}
}

func TestDefault(t *testing.T) {
	for _, tt := range []struct{ config, want string }{
		{"", ""},
		{"default_cluster='eiger'\n[clusters.daint]\naccount='x'", "eiger"},
		{"[clusters.daint]\naccount='x'", "daint"},
		{"[clusters.daint]\naccount='x'\n[clusters.eiger]\naccount='x'", ""},
	} {
		home(t, "", tt.config)
		c, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Default(); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.config, got, tt.want)
		}
	}
}

func TestConfigPath(t *testing.T) {
	dir := home(t, "", "")
	t.Setenv("XDG_CONFIG_HOME", "relative")
	if got, _ := ConfigPath(); got != filepath.Join(dir, ".config/cscs/config.toml") {
		t.Errorf("got %s", got)
	}
	t.Setenv("CSCS_CONFIG", "/elsewhere/x.toml")
	if got, _ := ConfigPath(); got != "/elsewhere/x.toml" {
		t.Errorf("got %s", got)
	}
	if _, err := Load(); err == nil || err.Error() != "/elsewhere/x.toml: cannot be read: no such file or directory" {
		t.Errorf("a file that was named must be there: %v", err)
	}
}

func TestSplitFiles(t *testing.T) {
	for in, want := range map[string][]string{
		"none":                         nil,
		"/a/b /c":                      {"/a/b", "/c"},
		"/home/Bob Smith/kh ~/x":       {"/home/Bob Smith/kh", "~/x"},
		`C:\Users\Bob Smith/kh D:\x`:   {`C:\Users\Bob Smith/kh`, `D:\x`},
		"__PROGRAMDATA__\\ssh/kh %d/k": {"__PROGRAMDATA__\\ssh/kh", "%d/k"},
	} {
		if diff := cmp.Diff(want, splitFiles(in)); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"daint", "daitn", 1}, {"daint", "dient", 2}, {"eiger", "tiger", 1}, {"é", "e", 1}} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestControlPath: the socket of an ssh counts where its path tells the host and the user.
func TestControlPath(t *testing.T) {
	for _, tt := range []struct {
		ssh, path, user string
	}{
		{"Host *\n    ControlPath /run/m-%r@%h:%p\nHost ela.cscs.ch\n    User bob\n", "/run/m-bob@ela.cscs.ch:22", "bob"},
		{"Host *\n    ControlPath /run/m-%r@%h:%p\nHost ela\n    User bob\n", "/run/m-" + localUser() + "@ela.cscs.ch:22", localUser()},
		{"Host *\n    ControlPath /run/m-%r@%h:%p\n", "/run/m-" + localUser() + "@ela.cscs.ch:22", localUser()},
		{"Host ela ela.cscs.ch\n    ControlPath /run/m\n", "/run/m", localUser()},
		{"Host *\n    ControlPath /run/m\n", "", ""}, // it may be an ssh's at another host
		{"Host *\n    ControlPath none\n", "", ""},
		{"Host *\n    ControlPath /run/m-%r@%h:%p\n    ControlMaster auto\n", "/run/m-" + localUser() + "@ela.cscs.ch:22", localUser()},
		{"Host *\n    ControlPath /run/m-%r@%h:%p\n    ControlMaster ask\n", "", ""}, // it asks for each use
		{"Host *\n    ControlPath /run/m-%r@%h:%p\n    ControlMaster autoask\n", "", ""},
		{"", "", ""},
	} {
		home(t, tt.ssh, "")
		hosts, err := route(t, "daint", Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if h := hosts[0]; h.ControlPath != tt.path || h.ControlPath != "" && h.ControlUser != tt.user {
			t.Errorf("%q: %q of %q", tt.ssh, h.ControlPath, h.ControlUser)
		}
	}
}
