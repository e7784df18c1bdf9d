package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestPaths(t *testing.T) {
	command := func() (App, error) { return Command([]string{"serve"}, 0) }
	jupyter := func() (App, error) { return Jupyter(nil, "") }
	board := func() (App, error) { return TensorBoard("runs", []string{"--path_prefix", "/tb"}) }
	for _, c := range []struct {
		app         func() (App, error)
		open, ready string
		path, asks  string // below the base
	}{
		{command, "", "", "/", ""},
		{command, "/docs?x=1", "health", "/docs?x=1", "/health"},
		{jupyter, "lab/tree/a.ipynb", "", "/lab/tree/a.ipynb", ""},
		{board, "", "/data/runs", "/", "/data/runs"},
	} {
		a, err := c.app()
		if err != nil {
			t.Fatal(err)
		}
		base := a.Base
		a, err = a.WithPaths(c.open, c.ready)
		asks := ""
		if c.asks != "" {
			asks = base + c.asks
		}
		if err != nil || a.Path != base+c.path || a.Ready != asks {
			t.Errorf("%s, --path %q --ready %q: opens %q, asks %q, %v", a.Name, c.open, c.ready, a.Path, a.Ready, err)
		}
	}
	for _, bad := range []string{"//evil.example", `/\evil.example`, "/a\n", "a#b"} {
		for _, paths := range [][2]string{{bad, ""}, {"", bad}} {
			a, _ := command()
			var usage *UsageError
			if _, err := a.WithPaths(paths[0], paths[1]); !errors.As(err, &usage) {
				t.Errorf("--path %q --ready %q: %v", paths[0], paths[1], err)
			}
		}
	}
}

// The secret part of a link stands behind a query of the path's own.
func TestPathWithQuery(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if a, err = a.WithPaths("/lab?reset", ""); err != nil {
		t.Fatal(err)
	}
	public, secret := a.Link("http://127.0.0.1:1")
	if want := public + "&token=" + a.Query.Get("token"); secret != want {
		t.Errorf("got %s, want %s", secret, want)
	}
}

// A server is ready when the path answers 200, not before; an attached session asks the same.
func TestReadyPath(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if asked++; asked < 3 {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	a, err := Command([]string{"serve"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = a.WithPaths("", "/health"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []App{a, Again(a)} {
		asked = 0
		if err := a.Probe(t.Context(), server.Client(), server.URL); err != nil || asked != 3 {
			t.Errorf("%v after %d requests", err, asked)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	asked = -1000000
	var failed *ProbeError
	if err := a.Probe(ctx, server.Client(), server.URL); !errors.As(err, &failed) || failed.Status != http.StatusNotFound {
		t.Errorf("a server that is never ready: %v", err)
	}
}
