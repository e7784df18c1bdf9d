//go:build unix && !lab

package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestPrintedToken: a server that prints a link with a token of its own is opened with it. The token is in
// no event, record or output; only the server's own log has it.
func TestPrintedToken(t *testing.T) {
	here.begin(t)
	const token = "a1b2c3d4e5f6a7b8"
	for _, c := range []struct {
		protect string
		late    bool // the link is printed when the session is ready
	}{{"--protect", false}, {"--protect=false", false}, {"--protect", true}, {"--protect=false", true}} {
		protect := c.protect
		s := serve(t, []string{protect}, "-token", token, "-announce="+strconv.FormatBool(c.late))
		e := s.ready()
		if !c.late && !strings.HasSuffix(e.URL, "/lab") {
			t.Errorf("%s: the server's page is at %s", protect, e.URL)
		}
		if c.late {
			if code, body := here.get(t, e.URL+"announce"); code != http.StatusOK {
				t.Fatalf("%d %s", code, body)
			}
			s.wait("warning")
		}
		link := strings.TrimSpace(run(t, "open", "--print", e.Session))
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Jar: jar, Timeout: patience}).Get(link)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "alice /lab") {
			t.Errorf("%s, late %v: the link leads to %d %s", protect, c.late, res.StatusCode, body)
		}
		if url := strings.TrimSpace(run(t, "open", "--no-browser", e.Session)); !strings.HasSuffix(url, "/lab") {
			t.Errorf("%s, late %v: the record has %s", protect, c.late, url)
		}
		piped := run(t, "open", "--no-browser", e.Session) + run(t, "ps", "--json")
		for _, file := range stage.files() {
			if text, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, "/log") && strings.Contains(string(text), token) && file != stage.testserver {
				piped += file
			}
		}
		s.leaveBy(syscall.SIGINT, 0)
		if all := piped + s.stdout.String() + s.stderr.String(); strings.Contains(all, token) {
			t.Errorf("%s: the token is in %s", protect, all)
		}
	}
}
