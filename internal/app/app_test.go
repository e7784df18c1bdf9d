package app

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLink(t *testing.T) {
	for _, tt := range []struct {
		name           string
		app            App
		base           string
		public, secret string
	}{
		{"plain", App{Path: "/"}, "http://127.0.0.1:6007", "http://127.0.0.1:6007/", "http://127.0.0.1:6007/"},
		{"slash", App{Path: "/"}, "http://127.0.0.1:6007/", "http://127.0.0.1:6007/", "http://127.0.0.1:6007/"},
		{
			"token", App{Path: "/x/lab", Query: url.Values{"token": {"a&b"}}}, "http://127.0.0.1:8888",
			"http://127.0.0.1:8888/x/lab", "http://127.0.0.1:8888/x/lab?token=a%26b",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			public, secret := tt.app.Link(tt.base)
			if diff := cmp.Diff([]string{tt.public, tt.secret}, []string{public, secret}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	secret := strings.Repeat("s", minSecret)
	good := func() App {
		return App{
			Name: "x", Argv: []string{"x", "{port}"}, Path: "/",
			Env:   map[string]string{"A_1": "{dir}/token", "EMPTY": ""},
			Files: map[string][]byte{"token": []byte(secret + "\n")},
			Query: url.Values{"token": {secret}},
		}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		spoil func(*App)
		want  string
	}{
		{"no name", func(a *App) { a.Name = "" }, "without a name"},
		{"no command", func(a *App) { a.Argv = nil }, "no command"},
		{"empty command", func(a *App) { a.Argv = []string{""} }, "no command"},
		{"port", func(a *App) { a.Port = 65536 }, "port 65536"},
		{"local port", func(a *App) { a.LocalPort = -1 }, "local port -1"},
		{"path", func(a *App) { a.Path = "lab" }, `"lab"`},
		{"zero byte in argument", func(a *App) { a.Argv = []string{"x", "a\x00b"} }, "argument 1"},
		{"zero byte in variable", func(a *App) { a.Env["B"] = "\x00" }, "variable B"},
		{"variable's name", func(a *App) { a.Env["A B"] = "" }, `"A B"`},
		{"empty name", func(a *App) { a.Env[""] = "" }, `""`},
		{"unset variable's name", func(a *App) { a.Unset = []string{"-f"} }, `"-f"`},
		{"way out of the directory", func(a *App) { a.Files["../x"] = nil }, `"../x"`},
		{"hidden file", func(a *App) { a.Files[".bashrc"] = nil }, `".bashrc"`},
		{"file like an option", func(a *App) { a.Files["-rf"] = nil }, `"-rf"`},
		{"secret in argument", func(a *App) { a.Argv = append(a.Argv, "--token="+secret) }, "argument 2"},
		{"secret in environment", func(a *App) { a.Env["T"] = secret }, "variable T"},
		{"query's secret in argument", func(a *App) { a.Files = nil; a.Argv = append(a.Argv, secret) }, "argument 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := good()
			tt.spoil(&a)
			err := a.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want something with %s", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in %q", err)
			}
		})
	}
}

// Whatever is done with an App in passing, its secrets stay in it.
func TestSecretsAreNotPrinted(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	token := a.Query.Get("token")
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		string(b), fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a), fmt.Sprintf("%v", &a),
		fmt.Sprintf("%v", []App{a}), fmt.Sprintf("%+v", struct{ A App }{a}),
	} {
		for _, form := range []string{token, fmt.Sprintf("%d", []byte(token)), fmt.Sprintf("%#v", []byte(token)),
			base64.StdEncoding.EncodeToString([]byte(token)), hex.EncodeToString([]byte(token))} {
			if strings.Contains(s, form) {
				t.Errorf("the token is in %s", s)
			}
		}
	}
}

func TestCommand(t *testing.T) {
	argv := []string{"python3", "-m", "http.server", "{port}"}
	a, err := Command(argv, 6007)
	if err != nil {
		t.Fatal(err)
	}
	want := App{Name: "run", LocalPort: 6007, Port: 6007, Argv: argv, Path: "/", Open: true}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	for _, argv := range [][]string{nil, {}, {""}} {
		if _, err := Command(argv, 0); !isUsage(err) {
			t.Errorf("Command(%q): %v, want a UsageError", argv, err)
		}
	}
	if _, err := Command([]string{"x"}, 70000); err == nil {
		t.Error("port 70000 is accepted")
	}
}
