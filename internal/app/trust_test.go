package app

import (
	"net/url"
	"strings"
	"testing"
)

// elsewhere are paths behind an origin that a browser reads as another address, or that cannot
// stand in one.
var elsewhere = []string{
	"", "lab", "@evil.example/", ":80@evil.example/", ".evil.example/", "//evil.example/x", `/\evil.example`, "/\t/evil.example",
	"/a\nb", "/a\x00b", "http://evil.example/", "javascript:alert(1)", `\\evil.example`,
}

// TestPathElsewhere: an app's path cannot lead a browser away from the server.
func TestPathElsewhere(t *testing.T) {
	for _, path := range elsewhere {
		a := App{Name: "run", Argv: []string{"true"}, Path: path}
		if err := a.Validate(); err == nil {
			t.Errorf("%q is accepted", path)
		}
		for _, name := range []string{"run", "jupyter", "tensorboard"} {
			public, secret := Again(App{Name: name, LocalPort: 0, Path: path, Query: url.Values{"token": {"x"}}}).Link("http://127.0.0.1:8888")
			for _, link := range []string{public, secret} {
				if u, err := url.Parse(link); err != nil || u.Host != "127.0.0.1:8888" || u.User != nil || strings.HasPrefix(u.Path, "//") {
					t.Errorf("%s at %q: the link is %q", name, path, link)
				}
			}
		}
	}
	for _, path := range []string{"/", "/lab", "/a/lab/tree/x.ipynb", "/a//b", "/%2F/x", "/ä"} {
		if err := (App{Name: "run", Argv: []string{"true"}, Path: path}).Validate(); err != nil {
			t.Errorf("%q: %v", path, err)
		}
		if a := Again(App{Name: "run", LocalPort: 0, Path: path}); a.Path != path {
			t.Errorf("%q becomes %q", path, a.Path)
		}
	}
}

// TestNameElsewhere: an app's name, which becomes part of a file's name, is one word.
func TestNameElsewhere(t *testing.T) {
	for _, name := range []string{"../../x", "a/b", `a\b`, "-x", ".", "..", "a\nb", "a\x00", "a\tb", "\x1b[31m", strings.Repeat("a", 300), "ünder", "a b"} {
		if err := (App{Name: name, Argv: []string{"true"}, Path: "/"}).Validate(); err == nil {
			t.Errorf("%q is accepted", name)
		}
		if a := Again(App{Name: name, LocalPort: 0, Path: "/"}); a.Name != "run" {
			t.Errorf("%q becomes %q", name, a.Name)
		}
	}
	for _, name := range []string{"jupyter", "vllm-2", "My_app.x"} {
		if a := Again(App{Name: name, LocalPort: 0, Path: "/"}); a.Name != name {
			t.Errorf("%q becomes %q", name, a.Name)
		}
	}
}

// TestPortElsewhere: a local port that is none is any.
func TestPortElsewhere(t *testing.T) {
	for _, port := range []int{-1, 65536, 1 << 40} {
		if a := Again(App{Name: "run", LocalPort: port, Path: "/"}); a.LocalPort != 0 {
			t.Errorf("%d becomes %d", port, a.LocalPort)
		}
	}
}
