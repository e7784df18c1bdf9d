package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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
		{"documentation", "GET http://localhost:8888/reset?key=example-key deletes an item\nhttp://localhost:8888/reset?password=example-key&auth=example-key\n", "", ""},
		{"Bokeh", "Bokeh app running at: http://localhost:8888/sliders\n", "", ""},
		{"TensorBoard", "TensorBoard 2.21.0 at http://localhost:8888/ (Press CTRL+C to quit)\n", "", ""},
		{"code-server", "HTTP server listening on http://127.0.0.1:8888/\n  - Authentication is enabled\n    - Using password from /home/alice/.config/code-server/config.yaml\n", "", ""},
		{"no token", "Running on http://127.0.0.1:8888/\nhttp://127.0.0.1:8888/?page=abcdefgh\n", "", ""},
		{"no path of that server", "http://127.0.0.1:8888//evil.example?token=0a1b2c3d4e5f\n", "", ""},
		{"TLS", "https://127.0.0.1:8888/?token=0a1b2c3d4e5f\n", "", ""},
		{"a logged request", "mallory - - \"GET http://localhost:8888/shutdown?token=mallory1 HTTP/1.0\" 401 -\n[W] 403 GET /x (127.0.0.1) 1.2ms referer=http://localhost:8888/y?token=mallory1\nhttp://localhost:8888/lab?token=0a1b2c3d4e5f\n", "/lab", "token=0a1b2c3d4e5f"},
		{"nothing", "", "", ""},
	} {
		got, ok := FindPrintedLink(tt.text, 8888)
		if ok != (tt.path != "") || got.Path != tt.path || got.Query.Encode() != tt.query {
			t.Errorf("%s: %v %s %v", tt.name, got.Path, got.Query.Encode(), ok)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			said := fmt.Sprintf(verb, got)
			for _, name := range tokenNames {
				if token := got.Query.Get(name); token != "" && strings.Contains(said, token) {
					t.Errorf("%s: %s shows the token", tt.name, said)
				}
			}
		}
	}
}

// The cookies of an answer replace the token only where the server lets in who brings them alone.
func TestPrintedLinkLogin(t *testing.T) {
	const token, in = "right-token", "1"
	give := func(c http.Cookie) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { http.SetCookie(w, &c) }
	}
	for _, tt := range []struct {
		name string
		with func(w http.ResponseWriter, r *http.Request) // the answer to the token
		want PrintedLogin
	}{
		{"a cookie", give(http.Cookie{Name: "in", Value: in, Path: "/"}), PrintedLogin{Cookies: []string{"in=1; Path=/"}}},
		{"a cookie and a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "in", Value: in, Path: "/"})
			http.Redirect(w, r, "/", http.StatusFound) // where the cookie lets in
		}, PrintedLogin{Cookies: []string{"in=1; Path=/"}}},
		// A browser takes the path of the address that sets such a cookie, which is one of ours.
		{"a cookie without a path", give(http.Cookie{Name: "in", Value: in}), PrintedLogin{Cookies: []string{"in=1; Path=/deep"}}},
		{"a cookie that is no login", give(http.Cookie{Name: "visitor", Value: "42", Path: "/"}), PrintedLogin{NeedsToken: true}},
		{"a cookie of another path", give(http.Cookie{Name: "in", Value: in, Path: "/elsewhere"}), PrintedLogin{NeedsToken: true}},
		{"no cookie", func(http.ResponseWriter, *http.Request) {}, PrintedLogin{NeedsToken: true}},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := r.Cookie("in")
			switch {
			case r.URL.Query().Get("tkn") == token:
				tt.with(w, r)
			case err != nil || c.Value != in:
				w.WriteHeader(http.StatusForbidden)
			}
		}))
		link := func(token string) PrintedLink {
			return PrintedLink{Path: "/deep/page", Query: map[string][]string{"tkn": {token}}}
		}
		if got, err := link(token).Login(t.Context(), s.Client(), s.URL); err != nil || cmp.Diff(tt.want, got) != "" {
			t.Errorf("%s: %v %s", tt.name, err, cmp.Diff(tt.want, got))
		}
		var none *NoLoginError
		if got, err := link("wrong-token").Login(t.Context(), s.Client(), s.URL); !errors.As(err, &none) || cmp.Diff(PrintedLogin{}, got) != "" {
			t.Errorf("%s: a wrong token: %v, %v", tt.name, got, err)
		}
		s.Close()
	}
	// Of a page that all see, the cookies prove nothing.
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			_, _ = w.Write([]byte(`<input type="password">`))
		}
		http.SetCookie(w, &http.Cookie{Name: "in", Value: in, Path: "/"})
	}))
	defer s.Close()
	got, err := PrintedLink{Path: "/", Query: map[string][]string{"tkn": {token}}}.Login(t.Context(), s.Client(), s.URL)
	if diff := cmp.Diff(PrintedLogin{[]string{"in=1; Path=/"}, true}, got); err != nil || diff != "" {
		t.Errorf("a public page: %v %s", err, diff)
	}
}

// A guardedServer asks for a token in the way that one of the known servers does, and records what is asked.
type guardedServer struct {
	*httptest.Server
	asked []string
}

func startGuarded(t *testing.T, answer http.HandlerFunc) *guardedServer {
	t.Helper()
	g := &guardedServer{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked = append(g.asked, r.URL.RequestURI())
		answer(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

const linkToken = "0a1b2c3d4e5f"

// admits reports whether a request has the token or the cookie, and gives the cookie for the token.
func admits(w http.ResponseWriter, r *http.Request, name string) bool {
	if r.URL.Query().Get(name) == linkToken {
		http.SetCookie(w, &http.Cookie{Name: "in", Value: "1", Path: "/"})
		return true
	}
	c, err := r.Cookie("in")
	return err == nil && c.Value == "1"
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// The token of a link goes only to a server that refuses who brings none.
func TestPrintedLinkNeedsLogin(t *testing.T) {
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	open, form := say(http.StatusOK, "<h1>welcome</h1>"), say(http.StatusOK, `<input type="password">`)
	for _, tt := range []struct {
		name, path, param string
		pages             map[string]http.HandlerFunc // without the token; "": any other
		want              bool
	}{
		{"Jupyter", "/lab", "token", map[string]http.HandlerFunc{"/": redirect("/lab?"), "/lab": redirect("/login?next=%2Flab"), "/login": form}, true},
		{"Jupyter below a base URL", "/x/lab", "token", map[string]http.HandlerFunc{"/x/lab": redirect("/x/login?next=%2Fx%2Flab"), "": say(404, "")}, true},
		{"Jupyter Server alone", "/", "token", map[string]http.HandlerFunc{"/": open, "/login": form, "": say(403, "")}, true},
		{"that below a base URL", "/x/", "token", map[string]http.HandlerFunc{"/x/": open, "/x/login": form, "": say(404, "")}, true},
		{"an open address below a login", "/x/reset", "token", map[string]http.HandlerFunc{"/x/reset": open, "/login": form, "": say(404, "")}, false},
		{"a login page of an open server", "/", "token", map[string]http.HandlerFunc{"": open}, false},
		{"marimo", "/", "access_token", map[string]http.HandlerFunc{"/": redirect("/auth/login?next=/"), "": open}, true},
		{"VS Code", "/", "tkn", map[string]http.HandlerFunc{"": say(403, "Forbidden.")}, true},
		{"Pluto", "/", "secret", map[string]http.HandlerFunc{"": say(403, "")}, true},
		{"Livebook", "/", "token", map[string]http.HandlerFunc{"": redirect("/authenticate?redirect_to=%2F"), "/authenticate": open}, true},
		{"basic authentication", "/", "token", map[string]http.HandlerFunc{"": say(401, "")}, true},
		{"a form", "/", "token", map[string]http.HandlerFunc{"": say(200, `<form><INPUT name=p type='password'></form>`)}, true},
		{"no login", "/", "token", map[string]http.HandlerFunc{"": open}, false},
		{"no login, a refusing address", "/reset", "token", map[string]http.HandlerFunc{"/reset": say(403, ""), "": open}, false},
		{"a login, an open address", "/reset", "token", map[string]http.HandlerFunc{"/reset": open, "": say(403, "")}, false},
		{"no page at all", "/reset", "token", map[string]http.HandlerFunc{"": say(404, "")}, false},
		{"a redirect to itself", "/", "token", map[string]http.HandlerFunc{"": redirect("/")}, false},
		{"a redirect elsewhere", "/", "token", map[string]http.HandlerFunc{"": redirect("http://evil.example/")}, false},
		{"an author's page", "/", "token", map[string]http.HandlerFunc{"/": redirect("/authors"), "": open}, false},
	} {
		s := startGuarded(t, func(w http.ResponseWriter, r *http.Request) {
			page := tt.pages[r.URL.Path]
			if page == nil {
				page = tt.pages[""]
			}
			if admits(w, r, tt.param) {
				page = open
			}
			page(w, r)
		})
		link := PrintedLink{Path: tt.path, Query: map[string][]string{tt.param: {linkToken}}}
		got, err := link.Login(t.Context(), s.Client(), s.URL)
		if tt.want && (err != nil || len(got.Cookies) != 1) || !tt.want && (err == nil || len(got.Cookies) > 0) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
		if said := strings.Join(s.asked, " "); strings.Contains(said, linkToken) != tt.want {
			t.Errorf("%s: the server was asked for %s", tt.name, said)
		}
	}
}
