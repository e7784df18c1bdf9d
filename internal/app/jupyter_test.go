package app

import (
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func isUsage(err error) bool {
	var usage *UsageError
	return errors.As(err, &usage)
}

func TestJupyter(t *testing.T) {
	a, err := Jupyter([]string{"--ServerApp.root_dir=/scratch", "--debug"}, "")
	if err != nil {
		t.Fatal(err)
	}
	base, page, _ := strings.Cut(strings.TrimPrefix(a.Path, "/"), "/")
	if !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(base) || page != "lab" {
		t.Fatalf("path %q", a.Path)
	}
	token := a.Query.Get("token")
	if b, err := hex.DecodeString(token); err != nil || len(b) != 32 {
		t.Errorf("token %q is not 32 bytes in hex", token)
	}
	want := App{
		Name:      "jupyter",
		LocalPort: 8888,
		Argv: []string{
			"jupyter", "lab", "--no-browser", "--ip=127.0.0.1", "--port={port}",
			"--ServerApp.port_retries=0", "--ServerApp.base_url=/" + base + "/", "--config={dir}/jupyter_config.py",
			"--ServerApp.root_dir=/scratch", "--debug",
		},
		Package: "jupyterlab", Program: "jupyter-lab",
		Files: map[string][]byte{
			"token":             []byte(token), // no newline: Jupyter would take it for part of it
			"jupyter_config.py": []byte("user_config = \"\"\n" + jupyterConfig),
		},
		Base:  "/" + base,
		Path:  a.Path,
		Query: a.Query,
		Use:   "run a cell, type in a terminal or save a file",

		OwnLogin: true,
	}
	if diff := cmp.Diff(want, a, cmpopts.IgnoreFields(App{}, "Probe", "Login", "LastUse")); diff != "" {
		t.Error(diff)
	}

	b, err := Jupyter(nil, "lab")
	if err != nil {
		t.Fatal(err)
	}
	if b.Query.Get("token") == token || b.Path == a.Path {
		t.Error("two sessions share a token or a path")
	}
}

// The server reads one configuration file, the session's, which reads the user's.
func TestJupyterConfig(t *testing.T) {
	for _, tt := range []struct {
		args []string
		rest []string
		want string // the first line of the session's file; empty: refused
	}{
		{[]string{"--config=/a b/'c\".py", "--debug"}, []string{"--debug"}, `user_config = "/a b/'c\".py"`},
		{[]string{"--debug", "--config", "~/c.py", "x.ipynb"}, []string{"--debug", "x.ipynb"}, `user_config = "~/c.py"`},
		{[]string{"--JupyterApp.config_file=c"}, nil, `user_config = "c"`},
		{[]string{"--ServerApp.config_file", "c"}, nil, `user_config = "c"`},
		{[]string{"--LabApp.config_file=c"}, []string{"--LabApp.config_file=c"}, `user_config = ""`},
		{[]string{"--config"}, nil, ""},
		{[]string{"--config="}, nil, ""},
		{[]string{"--config=c", "--config=d"}, nil, ""},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			a, err := Jupyter(tt.args, "")
			if tt.want == "" {
				if !isUsage(err) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			plain, err := Jupyter(nil, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.rest, a.Argv[len(plain.Argv):], cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if line, rest, _ := strings.Cut(string(a.Files[configFile]), "\n"); line != tt.want || rest != jupyterConfig {
				t.Errorf("the file begins with %s", line)
			}
		})
	}
}

func TestJupyterFlavours(t *testing.T) {
	for flavour, page := range map[string]string{"lab": "lab", "notebook": "tree", "nbclassic": "nbclassic/tree", "server": ""} {
		a, err := Jupyter(nil, flavour)
		if err != nil {
			t.Fatal(err)
		}
		if a.Argv[1] != flavour || a.Path[len("/")+12:] != "/"+page {
			t.Errorf("%s: %q at %s", flavour, a.Argv, a.Path)
		}
	}
	if _, err := Jupyter(nil, "labb"); !isUsage(err) {
		t.Errorf("labb: %v", err)
	}
}

func TestJupyterRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // part of the message; empty: accepted
	}{
		{[]string{"--ip=0.0.0.0"}, "127.0.0.1 of the node"},
		{[]string{"--ip", "0.0.0.0"}, "127.0.0.1 of the node"},
		{[]string{"--debug", "--ServerApp.ip=*"}, "127.0.0.1 of the node"},
		{[]string{"--LabApp.ip=0.0.0.0"}, "127.0.0.1 of the node"},
		{[]string{"--port=8889"}, "--port of cscs"},
		{[]string{"--ServerApp.port", "8889"}, "--port of cscs"},
		{[]string{"--ServerApp.port_retries=5"}, "--port of cscs"},
		{[]string{"--port-retries=5"}, "--port of cscs"},
		{[]string{"--sock=/tmp/s"}, "not a socket"},
		{[]string{"--ServerApp.token="}, "without a token"},
		{[]string{"--ServerApp.token=''"}, "without a token"},
		{[]string{"--ServerApp.token", ""}, "without a token"},
		{[]string{"--NotebookApp.token="}, "without a token"},
		{[]string{"--IdentityProvider.token="}, "without a token"},
		{[]string{"--PasswordIdentityProvider.token=mine"}, "new token"},
		{[]string{"--ServerApp.token=mine"}, "new token"},
		{[]string{"--ServerApp.password=argon2:x"}, "jupyter_server_config.py"},
		{[]string{"--PasswordIdentityProvider.hashed_password", "x"}, "jupyter_server_config.py"},
		{[]string{"--ServerApp.identity_provider_class=mine.Open"}, "nothing else"},
		{[]string{"--certfile=x"}, "plain HTTP"},
		{[]string{"--ServerApp.base_url=/x/"}, "path of each session"},
		{[]string{"--ServerApp.runtime_dir=/tmp"}, "session's directory"},

		{[]string{"--allow-root"}, ""},
		{[]string{"--config=/users/alice/c.py"}, ""},
		{[]string{"--ServerApp.root_dir=/x"}, ""},
		{[]string{"--ServerProxy.port=5"}, ""}, // an extension's own
		{[]string{"--"}, ""},
		{[]string{"-y"}, ""},
		{[]string{"notebook.ipynb"}, ""},
		{nil, ""},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			_, err := Jupyter(tt.args, "")
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "":
			case !isUsage(err) || !strings.Contains(err.Error(), tt.want):
				t.Fatalf("got %v, want a UsageError with %q", err, tt.want)
			case strings.Contains(err.Error(), "mine"):
				t.Errorf("%q repeats the secret", err)
			}
		})
	}
}
