package windowstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/session"
)

// patience ends a test that hangs. Wine may share two CPUs with other tests.
const patience = 60 * time.Second

// A user has a profile of a test's own, whose path has a space and letters outside ASCII.
type user struct {
	t   *testing.T
	dir string // the profile
	env []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{t: t, dir: filepath.Join(t.TempDir(), "Zoë Müller")}
	local, roaming := filepath.Join(u.dir, "AppData", "Local"), filepath.Join(u.dir, "AppData", "Roaming")
	temporary := filepath.Join(local, "Temp")
	for _, dir := range []string{temporary, roaming} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "CSCS_") && !strings.HasPrefix(name, "XDG_") {
			u.env = append(u.env, kv)
		}
	}
	u.env = append(u.env, "USERPROFILE="+u.dir, "LOCALAPPDATA="+local, "APPDATA="+roaming, "TEMP="+temporary, "TMP="+temporary, "NO_COLOR=1")
	t.Cleanup(func() {
		waittest.Until(t, patience, "the end of all processes", func() bool { return len(processes(t)) == 0 })
	})
	return u
}

// write writes a file below the profile and returns its path.
func (u *user) write(text []byte, path ...string) string {
	u.t.Helper()
	file := filepath.Join(append([]string{u.dir}, path...)...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		u.t.Fatal(err)
	}
	return file
}

// files returns the files below the profile.
func (u *user) files() []string {
	var all []string
	if err := filepath.WalkDir(u.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}); err != nil {
		u.t.Error(err)
	}
	return all
}

// run runs cscs to its end and requires the exit code.
func (u *user) run(code int, args ...string) (stdout, stderr string) {
	u.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(u.t.Context(), bin, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = u.env, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		u.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		u.t.Errorf("cscs %q: exit code %d, want %d\nstdout: %s\nstderr: %s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

// An output is what a program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// A program is a cscs that runs beside the test, in a console of its own.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr output
	done           chan struct{}
}

// start starts cscs with --json and --no-browser.
func (u *user) start(command string, args ...string) *program {
	u.t.Helper()
	p := &program{t: u.t, done: make(chan struct{})}
	p.cmd = newConsole(context.WithoutCancel(u.t.Context()), u.env, append([]string{command, "--json", "--no-browser"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	go func() { defer close(p.done); _ = p.cmd.Wait() }()
	u.t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.done })
	return p
}

// exit waits for the end and requires the exit code.
func (p *program) exit(code int) {
	p.t.Helper()
	waittest.Receive(p.t, patience, "the end of the program", p.done)
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", got, code, &p.stdout, &p.stderr)
	}
}

// wait returns the first event of that name.
func (p *program) wait(name string) session.Event {
	p.t.Helper()
	var found session.Event
	waittest.Until(p.t, patience, "event "+name, func() bool {
		events := p.events()
		i := slices.IndexFunc(events, func(e session.Event) bool { return e.Event == name })
		if i >= 0 {
			found = events[i]
		} else if len(events) > 0 && events[len(events)-1].Event == session.EventEnded {
			p.t.Fatalf("ended without %s\nstdout: %s\nstderr: %s", name, &p.stdout, &p.stderr)
		}
		return i >= 0
	})
	return found
}

// events returns the events so far. Each line must be one.
func (p *program) events() []session.Event {
	p.t.Helper()
	var events []session.Event
	for line := range strings.Lines(p.stdout.String()) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		e, err := parseEvent(line)
		if err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

var eventNames = []string{
	session.EventConnecting, session.EventConnected, session.EventQueued, session.EventGranted, session.EventStarted, session.EventReady,
	session.EventForward, session.EventLost, session.EventRestored, session.EventWarning, session.EventDetached, session.EventEnding,
	session.EventError, session.EventEnded,
}

// parseEvent parses a line of --json.
func parseEvent(line string) (e session.Event, err error) {
	strict := json.NewDecoder(strings.NewReader(line))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&e); err != nil {
		return e, err
	}
	_, offset := e.Time.Zone()
	if e.V != session.EventVersion || e.Time.IsZero() || offset != 0 || !slices.Contains(eventNames, e.Event) {
		return e, fmt.Errorf("the version, the time or the name is wrong")
	}
	return e, nil
}

// get requests a page and requires status 200.
func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v\n%s", url, resp.Status, err, body)
	}
	return string(body)
}
