package session

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/app"
)

// The link is found however the log comes in parts, and not in a line that goes on; a long log ends the search.
func TestLinkSeeker(t *testing.T) {
	const log = "starting\nopen http://127.0.0.1:8888/lab?token=a1b2c3d4e5f6\nmore\n"
	for size := 1; size <= len(log); size++ {
		l := &linkSeeker{port: 8888}
		var err error
		for rest := log; rest != "" && err == nil; {
			part := rest[:min(size, len(rest))]
			rest = rest[len(part):]
			_, err = l.Write([]byte(part))
		}
		if !errors.Is(err, errLinkFound) || l.link.Path != "/lab" || l.link.Query.Get("token") != "a1b2c3d4e5f6" {
			t.Errorf("in parts of %d: %v, %v", size, l.link, err)
		}
	}
	l := &linkSeeker{port: 8888}
	if _, err := l.Write([]byte(strings.Repeat("x", printedMax+1))); !errors.Is(err, errNoLink) {
		t.Errorf("a long log: %v", err)
	}
}

// printingServer prints an address with a token, and then the target of each request. "open": it has no login.
// "visitor": it needs the token in each request, and gives a cookie that is no login.
const printingServer = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked " + self.path, flush=True)
        self.send_response(200 if sys.argv[2] == "open" or "example-token" in self.path else 403)
        self.send_header("Set-Cookie", "visitor=42; Path=/")
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("http://localhost:" + sys.argv[1] + "/reset?token=example-token deletes an item", flush=True)
server.serve_forever()
`

// livePrinting carries a session with the printing server, and returns what its room was told and what its log has.
func livePrinting(t *testing.T, manner string) (ready Event, told []string, log string) {
	t.Helper()
	a := newAlps(t)
	cfg := a.config()
	r := &fakeRoom{}
	cfg.Room = r
	cfg.App = app.App{Name: "run", Argv: []string{"python3", "-c", printingServer, "{port}", manner}, Path: "/"}
	l := a.start(cfg)
	ready = l.await(EventReady)
	l.endReady()
	text, err := os.ReadFile(l.all[len(l.all)-1].LogFile)
	if err != nil || !strings.Contains(string(text), "asked /\n") {
		t.Errorf("the server was asked for %q, %v", text, err)
	}
	return ready, r.told, string(text)
}

// A server without a login that prints an address with a token is opened at its own page, and no request has the token.
func TestPrintedLinkWithoutLogin(t *testing.T) {
	ready, told, log := livePrinting(t, "open")
	if !strings.HasSuffix(ready.URL, "/") || ready.OwnLink != "" {
		t.Errorf("it is opened at %q, by %q", ready.URL, ready.OwnLink)
	}
	if strings.Contains(log, "asked /reset") {
		t.Errorf("the server was asked for %q", log)
	}
	if want := []string{"begin /", "there"}; !slices.Equal(told, want) {
		t.Errorf("the room was told %q, want %q", told, want)
	}
}

// A browser gets the token of a server that gives a cookie that is no login.
func TestPrintedLinkBesideCookie(t *testing.T) {
	ready, told, _ := livePrinting(t, "visitor")
	if !strings.HasSuffix(ready.URL, "/reset") {
		t.Errorf("it is opened at %q", ready.URL)
	}
	if want := []string{"begin /", "shows /reset?token=example-token", "login ", "there"}; !slices.Equal(told, want) {
		t.Errorf("the room was told %q, want %q", told, want)
	}
}
