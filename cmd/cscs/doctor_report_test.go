package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// plantSecrets makes a home in which each word of the user's is recognisable, and returns these words.
func plantSecrets(t *testing.T) (dir string, secrets []string) {
	t.Helper()
	dir = home(t, "Host zebrahost\n  HostName 127.0.0.1\n  Port 1\n  User giraffe\n  IdentityFile ~/.ssh/walrus-key\n  SetEnv ZEBRA=zebra\n")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config.toml", `default_cluster = "okapi"
zebrakey = "zebra"
`)
	write("good.toml", `default_cluster = "okapi"
[hosts.zebrahost]
host = "127.0.0.1"
port = 1
user = "giraffe"
identity = "~/.ssh/walrus-key"
[clusters.okapi]
host = "ocelot.example.org"
jump = ["zebrahost"]
account = "meerkat"
env = {LEMUR_TOKEN = "ibex"}
[recipes.narwhal]
command = ["axolotl", "{port}"]
`)
	if err := newKey(filepath.Join(dir, ".ssh", "walrus-key"), "giraffe", time.Hour, "tapir"); err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(filepath.Join(dir, ".ssh", "walrus-key"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(dir, ".ssh", "walrus-key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(".ssh", "known_hosts"), "zebrahost "+string(public)+"quokka nonsense\n")
	for name, value := range map[string]string{
		"CSCS_ACCOUNT": "meerkat", "CSCS_QUAGGA": "1", "LEMUR_TOKEN": "ibex", "SSH_AUTH_SOCK": filepath.Join(dir, "numbat.sock"), "BROWSER": "wombat", "TOKEN": "ibex",
		"CSCS_API_KEY": "ibex", "https_proxy": "http://numbat", "HTTP_PROXY": "http://numbat", "NO_PROXY": "zebra", "SHELL": "/opt/wombat/sh",
	} {
		t.Setenv(name, value)
	}
	state, err := paths.StateDir()
	if err != nil {
		t.Fatal(err)
	}
	code := 4
	err = registry.Open(state).NoteEnded(registry.Ended{ID: "abcdefgh", App: "narwhal", Cluster: "okapi", Job: "8675309", Partition: "dugong", Reason: "kakapo", Code: &code, Problem: "queue-timeout", Ended: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return dir, []string{"zebra", "giraffe", "walrus", "okapi", "ocelot", "meerkat", "lemur", "ibex", "narwhal", "axolotl", "tapir", "quokka", "quagga", "numbat", "wombat",
		"8675309", "dugong", "kakapo", "abcdefgh", dir, "127.0.0.1", strings.Fields(string(public))[1], strings.Split(string(private), "\n")[1]}
}

// TestReportHasNoSecret: no word of the user's is in the report, whether the configuration can be read or not.
func TestReportHasNoSecret(t *testing.T) {
	dir, secrets := plantSecrets(t)
	for _, tt := range []struct {
		name, config, site string
		args               []string
		want               []string
	}{
		{"to standard output", "good.toml", "[clusters.okapi]\npartition = 'dugong'\n[hosts.daint]\nuser = 'zebra'\n", []string{"doctor", "--report"},
			[]string{"site-wide file: clusters.cluster-1.partition, hosts.daint.user\n", "route to cluster-1:", "clusters.cluster-1.account", "recipes.recipe-1.command", "identityfile 1", "others 1", "CSCS_ACCOUNT", "queue-timeout", "connection-refused", "CSCS_API_KEY", "HTTP_PROXY", "NO_PROXY", "SHELL", "https_proxy", "ssh config: host 2"}},
		{"site-wide file that is not used", "good.toml", "zebra = 1", []string{"doctor", "--report", "-c", "okapi"}, []string{"site-wide file: unknown keys: 1\n", "warning  files"}},
		{"bad configuration", "config.toml", "", []string{"doctor", "--report", "-c", "okapi"}, []string{"unknown keys: 1", "site.ConfigError", "ssh config: not read"}},
		{"to a file", "good.toml", "", []string{"doctor", "--report", filepath.Join(dir, "out.txt"), "--identity", filepath.Join(dir, "zebra-key")}, []string{"key-missing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CSCS_CONFIG", filepath.Join(dir, tt.config))
			t.Setenv("CSCS_SITE_CONFIG", filepath.Join(dir, "site.toml"))
			if err := os.WriteFile(filepath.Join(dir, "site.toml"), []byte(tt.site), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, said bytes.Buffer
			if code := runCommandLine(t.Context(), tt.args, newDeps(&ui.IO{Out: &out, Err: &said})); code == 0 {
				t.Error("exit code 0 although a check has failed")
			}
			report := out.String()
			if len(tt.args) > 2 && strings.HasSuffix(tt.args[2], ".txt") {
				data, err := os.ReadFile(tt.args[2])
				if err != nil || report != "" {
					t.Fatalf("printed %q, %v", report, err)
				}
				report = string(data)
			}
			for _, s := range secrets {
				if strings.Contains(strings.ToLower(report), strings.ToLower(s)) {
					t.Errorf("the report has %q", s)
				}
			}
			if strings.Contains(said.String(), "is ignored") {
				t.Errorf("the doctor's own result is enough: %s", said.String())
			}
			for _, w := range tt.want {
				if !strings.Contains(report, w) {
					t.Errorf("the report lacks %q", w)
				}
			}
			if t.Failed() {
				t.Logf("%s%s", report, said.String())
			}
		})
	}
}

// A callWriter calls itself at each write.
type callWriter func()

func (w callWriter) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

// TestReportInterrupted: an interrupt removes the report's file, but no other file that has its name by then.
func TestReportInterrupted(t *testing.T) {
	type row struct {
		name     string
		replaced bool
	}
	rows := []row{{"own file", false}}
	if runtime.GOOS != "windows" { // which does not rename a file over one that is open
		rows = append(rows, row{"replaced file", true})
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(home(t, ""), "out.txt")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			atFirst := func() { // the file exists as soon as the command says something
				if ctx.Err() != nil {
					return
				}
				cancel()
				if _, err := os.Stat(file); err != nil {
					t.Error(err)
				}
				if !tt.replaced {
					return
				}
				if err := os.WriteFile(file+".new", []byte("mine"), 0o600); err != nil {
					t.Error(err)
				}
				if err := os.Rename(file+".new", file); err != nil {
					t.Error(err)
				}
			}
			if code := runCommandLine(ctx, []string{"doctor", "--report", file}, newDeps(&ui.IO{Out: &bytes.Buffer{}, Err: callWriter(atFirst)})); code != problem.Interrupted {
				t.Errorf("exit code %d", code)
			}
			if data, err := os.ReadFile(file); string(data) == "mine" != tt.replaced || os.IsNotExist(err) == tt.replaced {
				t.Errorf("the file has %q, %v", data, err)
			}
		})
	}
}
