package app

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJupyterLogin(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	token := a.Query.Get("token")
	f := &fakeJupyter{token: token, closed: 403}
	mux := http.NewServeMux()
	mux.Handle(strings.TrimSuffix(a.Path, "lab")+"api/status", f)
	s := httptest.NewServer(mux)
	defer s.Close()
	got, err := a.Login(t.Context(), s.Client(), s.URL)
	if diff := cmp.Diff([]string{"login=1; Path=/"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	f.token = "another"
	var refused *ProbeError
	if got, err := a.Login(t.Context(), s.Client(), s.URL); !errors.As(err, &refused) || refused.Status != 403 || len(got) != 0 || strings.Contains(err.Error(), token) {
		t.Errorf("refused: %q, %v", got, err)
	}
}

// A login of ours is Jupyter's alone: also of one that is found again, unless it has no token.
func TestOwnLogin(t *testing.T) {
	jupyter, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	board, err := TensorBoard("runs", nil)
	if err != nil {
		t.Fatal(err)
	}
	command, err := Command([]string{"jupyter", "lab"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		app  App
		want bool
	}{
		{jupyter, true}, {board, false}, {command, false},
		{Again(jupyter), true},
		{Again(App{Name: "jupyter", LocalPort: 8888, Path: jupyter.Path}), false},
		{Again(command), false},
	} {
		if tt.app.OwnLogin != tt.want {
			t.Errorf("%s: %v", tt.app.Name, tt.app.OwnLogin)
		}
	}
}

func TestIsOpen(t *testing.T) {
	for command, want := range map[string]bool{
		"mlflow ui":                              true,
		"/opt/venv/bin/streamlit run a.py":       true,
		"python3 -m http.server {port}":          true,
		"/usr/bin/python3.11 -u -m http.server":  true,
		"python3 http.server":                    false,
		"python3 -m":                             false,
		"python3 -c x":                           false,
		"jupyter lab":                            false,
		"mlflow-proxy":                           false,
		"sh -c mlflow":                           false,
		"python3 -m tensorboard.main --logdir x": true,
	} {
		if got := isOpen(strings.Fields(command)); got != want {
			t.Errorf("%s: %v", command, got)
		}
	}
}
