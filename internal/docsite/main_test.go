package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCheckStyles: a style sheet must not load from another host, in any spelling. Data and the site's own files pass.
// What a page loads is seen in Chromium: checkPages first opens a page with each fault.
func TestCheckStyles(t *testing.T) {
	for _, tt := range []struct {
		css string
		bad int
	}{
		{`a { background: url(x.png) } b { background: url("data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg'/>") }`, 0},
		{`@import "site.css"; /* https://example.org */`, 0},
		{`@font-face { src: url(https://fonts.example.org/a.woff2) }`, 1},
		{`@font-face { src: URL( "//fonts.example.org/a.woff2" ) }`, 1},
		{`@import 'https://example.org/a.css'; @import url(http://example.org/b.css);`, 2},
	} {
		file := filepath.Join(t.TempDir(), "site.css")
		if err := os.WriteFile(file, []byte(tt.css), 0o600); err != nil {
			t.Fatal(err)
		}
		if bad, err := checkStyles([]string{file}); err != nil || len(bad) != tt.bad {
			t.Errorf("%s: %q, %v; want %d", tt.css, bad, err, tt.bad)
		}
	}
}
