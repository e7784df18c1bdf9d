package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What servers print: Jupyter Server 2.21.1, marimo 0.25.2, VS Code's serve-web, OpenVSCode Server, Pluto.
func TestFindPrintedLink(t *testing.T) {
	for _, tt := range []struct{ name, text, path, query string }{
		{"Jupyter", "[I 2026-11-28 15:02:51.198 ServerApp] http://nid001001:8888/lab?token=0a1b2c3d4e5f\n[I ServerApp]     http://127.0.0.1:8888/lab?token=0a1b2c3d4e5f\n", "/lab", "token=0a1b2c3d4e5f"},
		{"marimo", "\n        Edit nb.py in your browser\n\n        ➜  URL: http://localhost:8888?access_token=oFSEwOl53VYQT4zlMcQ-hg\n", "/", "access_token=oFSEwOl53VYQT4zlMcQ-hg"},
		{"in colours", "URL: \x1b[32mhttp://localhost:8888\x1b[0m?access_token=oFSEwOl53VYQ\x1b[0m\n", "/", "access_token=oFSEwOl53VYQ"},
		{"VS Code", "Web UI available at http://127.0.0.1:8888?tkn=6bf93bd1-aaaa-bbbb\n", "/", "tkn=6bf93bd1-aaaa-bbbb"},
		{"Pluto", "Go to http://localhost:8888/?secret=Ab12Cd34 in your browser to start writing ~ have fun!\n", "/", "secret=Ab12Cd34"},
		{"IPv6", "at http://[::1]:8888/x?token=abcdef1, or so", "/x", "token=abcdef1"},
		{"more of it", "http://localhost:8888/?file=a.py&access_token=abcdef1.\n", "/", "access_token=abcdef1&file=a.py"},
		{"masked", "http://127.0.0.1:8888/lab?token=...\nhttp://127.0.0.1:8888/lab?token=******\n", "", ""},
		{"another port", "http://127.0.0.1:8889/lab?token=0a1b2c3d4e5f\n", "", ""},
		{"no token", "Running on http://127.0.0.1:8888/\nhttp://127.0.0.1:8888/?page=abcdefgh\n", "", ""},
		{"no path of that server", "http://127.0.0.1:8888//evil.example?token=0a1b2c3d4e5f\n", "", ""},
		{"TLS", "https://127.0.0.1:8888/?token=0a1b2c3d4e5f\n", "", ""},
		{"nothing", "", "", ""},
	} {
		got, ok := FindPrintedLink(tt.text, 8888)
		if ok != (tt.path != "") || got.Path != tt.path || got.Query.Encode() != tt.query {
			t.Errorf("%s: %v %s %v", tt.name, got.Path, got.Query.Encode(), ok)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if said := fmt.Sprintf(verb, got); tt.query != "" && cmp.Equal(said, tt.query) {
				t.Errorf("%s: %s shows the token", tt.name, said)
			}
		}
	}
}

func TestPrintedLinkLogin(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tkn") != "right" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "in", Value: "1"})
		http.Redirect(w, r, "/", http.StatusFound) // where the cookie lets in
	}))
	defer s.Close()
	link := func(token string) PrintedLink {
		return PrintedLink{Path: "/", Query: map[string][]string{"tkn": {token}}}
	}
	if got, err := link("right").Login(t.Context(), s.Client(), s.URL); err != nil || !cmp.Equal(got, []string{"in=1"}) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := link("wrong").Login(t.Context(), s.Client(), s.URL); err == nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}
