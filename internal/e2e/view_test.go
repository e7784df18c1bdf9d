//go:build lab

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// pane is a terminal in tmux, which wraps, scrolls and remembers as a person's does, with a
// cscs of alice's on the laptop in it.
type pane struct {
	t      *testing.T
	socket string
}

// inPane starts "cscs WORDS…" in a pane of w columns and h lines; VAR=VALUE words may come
// first. When it has ended, the pane says with which status, and echoes what is typed.
func inPane(t *testing.T, w, h int, words ...string) *pane {
	t.Helper()
	env := []string{"LC_ALL=C.UTF-8"}
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	return shellInPane(t, w, h, shellescape.QuoteCommand(as(context.Background(), "alice", "laptop", append(append(env, lab.bin), words...)...).Args))
}

func shellInPane(t *testing.T, w, h int, command string) *pane {
	t.Helper()
	p := &pane{t: t, socket: filepath.Join(t.TempDir(), "tmux")}
	p.tmux("-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(w), "-y", strconv.Itoa(h), command+`; echo "status $?"; exec cat`)
	t.Cleanup(func() {
		// What runs in it is asked to end before its terminal goes.
		if !strings.Contains(p.text(), "status ") {
			p.keys("C-c")
			p.keys("C-d") // a shell
			p.await("the end", func(s string) bool { return strings.Contains(s, "status ") })
		}
		p.tmux("kill-server")
	})
	return p
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	c := exec.CommandContext(context.Background(), "tmux", append([]string{"-u", "-S", p.socket}, args...)...)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// keys presses keys, by tmux's names for them.
func (p *pane) keys(names ...string) {
	p.t.Helper()
	p.tmux(append([]string{"send-keys"}, names...)...)
}

func (p *pane) resize(w, h int) {
	p.t.Helper()
	p.tmux("resize-window", "-x", strconv.Itoa(w), "-y", strconv.Itoa(h))
}

// text is all that the pane shows and has scrolled away, long lines in one piece.
func (p *pane) text() string {
	p.t.Helper()
	return trimmed(p.tmux("capture-pane", "-p", "-J", "-S", "-"))
}

// lines are as text, but as they are wrapped.
func (p *pane) lines() []string {
	p.t.Helper()
	return strings.Split(trimmed(p.tmux("capture-pane", "-p", "-S", "-")), "\n")
}

func trimmed(s string) string {
	return strings.TrimRight(regexp.MustCompile(`(?m) +$`).ReplaceAllString(s, ""), "\n")
}

// await waits until the pane is as it should be, and gives its text.
func (p *pane) await(what string, is func(text string) bool) string {
	p.t.Helper()
	text := ""
	if poll(patience, func() string {
		if text = p.text(); is(text) {
			return ""
		}
		return "not yet"
	}) != "" {
		p.t.Fatalf("%s: the pane shows\n%s", what, text)
	}
	return text
}

// shows waits until the pane shows what matches.
func (p *pane) shows(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	return p.await("never: "+pattern, re.MatchString)
}

// ends waits for the end, and sees that the terminal is as it was.
func (p *pane) ends(status int) string {
	p.t.Helper()
	p.shows(fmt.Sprintf(`^status %d$`, status))
	p.keys("-l", "echoed")
	p.keys("Enter")
	text := p.shows(`^echoed\nechoed$`)
	if strings.Contains(text, "? help") {
		p.t.Errorf("of the live view, there is still\n%s", text)
	}
	return text
}

// once sees that each pattern is there in just one line.
func once(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if n := len(regexp.MustCompile("(?m)"+pattern).FindAllString(text, -1)); n != 1 {
			t.Errorf("%d times %s in\n%s", n, pattern, text)
		}
	}
}

// steps are the lines of a session that is ready, which stay.
var steps = []string{`^✓ ela connected \d`, `^✓ daint connected \d`, `^✓ job \d+ granted: nid\d+, partition normal, ends (at|on)`,
	`^✓ ready: localhost:\d+ leads to 127\.0\.0\.1:\d+ on nid\d+ \d`}

// block is what stands below them, by the patterns of its lines.
var block = []string{`^job \d+ on nid\d+ · session \w+$`, `^█+░* \d+ min left, until (\w{3} \d+ \w{3} )?\d\d:\d\d$`, `^(latency .* · )?\S+ k?B in · \S+ k?B out · \d+ connections?`,
	`^o open · l log · d detach · \? help · Ctrl-C stop$`}

// TestViewOfALife: a session as a person sees it who answers a question, resizes the window,
// presses each key, loses the connection, is warned, and ends it.
func TestViewOfALife(t *testing.T) {
	begin(t)
	put(t, laptopHome(knownHosts), "", 0o600)
	opened := filepath.Join(mkdir(t, laptopHome("opened")), "link")
	browser := filepath.Join(filepath.Dir(opened), "browser")
	write(t, browser, "#!/bin/sh\necho \"$1\" >>/home/alice/opened/link\n")
	if err := os.Chmod(browser, 0o755); err != nil {
		t.Fatal(err)
	}
	p := inPane(t, 100, 30, "BROWSER=/home/alice/opened/browser", "run", "--no-browser", "-c", "daint", "--", lab.testserver, "-tell", "-also", "127.0.0.1:0", "127.0.0.1:{port}")

	// The question has the terminal to itself, and its answer is no key.
	text := p.shows(`(?s)authenticity of host.*ela.*\?$`)
	if strings.Contains(text, "Ctrl-C") {
		t.Errorf("beside the question stands\n%s", text)
	}
	p.keys("-l", "yes")
	p.keys("Enter")
	p.shows(`(?s)ela connected.*authenticity of host.*daint.*\?$`)
	p.keys("-l", "yes")
	p.keys("Enter")

	text = p.shows(block[3])
	once(t, text, append(steps, block...)...)
	if n := strings.Count(text, "? yes\n"); n != 2 {
		t.Errorf("%d questions with their answers in\n%s", n, text)
	}
	url := regexp.MustCompile(`(?m)^http://127\.0\.0\.1:\d+/`).FindString(text)

	answers(t, url)
	p.shows(`[1-9]\d* B in · [1-9]\d* B out`)
	p.keys("?")
	p.shows(`Ctrl-C: stop the job. Twice: don't wait`)
	p.keys("?")
	p.await("help stays", func(s string) bool { return !strings.Contains(s, "Twice:") })
	p.keys("o")
	if left := poll(patience, func() string {
		if link, err := os.ReadFile(opened); err != nil || !strings.HasPrefix(string(link), "http://127.0.0.1:") {
			return fmt.Sprintf("%q, %v", link, err)
		}
		return ""
	}); left != "" {
		t.Errorf("o did not open the browser: %s", left)
	}
	p.keys("l")
	p.shows(`^│ .*listens`)
	p.shows(`l no log`)
	answers(t, url)
	p.shows(`(?s)(│ .*){3}`) // what is added comes, too
	p.keys("l")
	p.shows(`l log`)

	// Narrower, lower, and back, with everything in its place each time.
	for _, size := range []struct {
		w, h int
		row  string
	}{{40, 30, `^o l d \? Ctrl-C stop$`}, {20, 40, `^o l d \? Ctrl-C stop$`}, {60, 10, block[3]}, {100, 30, block[3]}} {
		p.resize(size.w, size.h)
		row := regexp.MustCompile("(?m)" + size.row)
		text = p.await(fmt.Sprintf("in its place at %d columns", size.w), func(s string) bool {
			lines := p.lines()
			for _, l := range lines[max(len(lines)-4, 0):] {
				if len([]rune(l)) >= size.w {
					return false // as it stood there before, wrapped
				}
			}
			return row.MatchString(s) && strings.Count(s, "min left") == 1
		})
		once(t, text, steps[:3]...)
	}

	// A lost connection, and a warning.
	for _, q := range userProcesses() {
		if q.host == "ela" {
			_ = syscall.Kill(q.pid, syscall.SIGKILL)
		}
	}
	p.shows(`^✓ ela connected again`)
	get(t, url+"close")
	text = p.shows(`^! \d\d:\d\d the server closed its port`)
	once(t, text, `^! connection to ela lost`, `^✓ ela connected again`, `^! the server closed its port`)

	p.keys("C-c")
	text = p.ends(0)
	once(t, text, append(steps, `^✓ ended as asked: job \d+ has ended$`, `^! the server closed its port`, `^! connection to ela lost`)...)
	if n := strings.Count(text, "min left"); n != 0 {
		t.Errorf("the block was left:\n%s", text)
	}
}

// TestViewForms: what is shown fits what it is shown on. All attend one session; each leaves
// it by Ctrl-C, as the view says, and it goes on.
func TestViewForms(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	s.ready()
	for _, tt := range []struct {
		name  string
		w     int
		words []string
		row   string // of keys, or what there is in place of it
		live  bool
		color bool
	}{
		{"wide", 100, nil, `^l log · d detach · \? help · Ctrl-C detach$`, true, true},
		{"40 columns", 40, nil, `^(o )?l d \? Ctrl-C detach$`, true, true},
		{"20 columns", 20, nil, `^(o )?l d \? Ctrl-C detach$`, true, true},
		{"NO_COLOR", 100, []string{"NO_COLOR=1"}, `^l log · d detach · \? help · Ctrl-C detach$`, true, false},
		{"ASCII", 100, []string{"LC_ALL=C"}, `^l log, d detach, \? help, Ctrl-C detach$`, true, true},
		{"no TERM", 100, []string{"TERM="}, `Ctrl-C: leave it running; cscs stop ends it`, false, false},
		{"dumb", 100, []string{"TERM=dumb"}, `Ctrl-C: leave it running; cscs stop ends it`, false, false},
		{"CI", 100, []string{"CI=true"}, `Ctrl-C: leave it running; cscs stop ends it`, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := inPane(t, tt.w, 30, append(tt.words, "attach", "--no-browser")...)
			p.shows(tt.row)
			text := p.text()
			if live := strings.Contains(text, "min left"); live != tt.live {
				t.Errorf("a status block: %v, in\n%s", live, text)
			}
			raw := p.tmux("capture-pane", "-p", "-e", "-S", "-")
			if color := strings.Contains(raw, "\x1b[3"); color != tt.color {
				t.Errorf("colour: %v, in %q", color, raw)
			}
			p.keys("C-c")
			text = p.ends(0)
			once(t, text, `^. daint connected`, `detached:\s+it\s+runs`)
		})
	}
	t.Run("pipe", func(t *testing.T) {
		argv := as(context.Background(), "alice", "laptop", "LC_ALL=C.UTF-8", lab.bin, "attach", "--no-browser").Args
		p := shellInPane(t, 100, 30, shellescape.QuoteCommand(argv)+` 2>&1 | tee -i `+filepath.Join(t.TempDir(), "out"))
		text := p.shows(`✓ ready|\* ready`)
		if strings.Contains(text, "min left") || strings.Contains(text, "? help") {
			t.Errorf("a live view in a pipe:\n%s", text)
		}
		p.keys("C-c")
		p.ends(0)
	})
	s.signal(syscall.SIGINT)
	s.end(0)
}

// TestViewQueue: what waits says why, and d leaves it waiting.
func TestViewQueue(t *testing.T) {
	begin(t)
	settle(t)
	occupy(t, "mallory", "-N", "3", "--exclusive")
	p := inPane(t, 120, 24, "run", "--no-browser", "-c", "daint", "--", lab.testserver, "127.0.0.1:{port}")
	p.shows(`^… job \d+ is queued: .*(other jobs|nodes).* \d+ s$`)
	p.shows(`^d detach · \? help · Ctrl-C stop$`)
	p.keys("d")
	text := p.ends(0)
	once(t, text, `^✓ daint connected`, `detached: it waits in the queue`)
	if strings.Contains(text, "is queued") {
		t.Errorf("the row was left:\n%s", text)
	}
	mustCmd(t, "stop", "--all")
}

// TestViewInTheBackground: stopped by Ctrl-Z and sent into the background, it leaves the
// screen alone; in the foreground it is back.
func TestViewInTheBackground(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	s.ready()
	argv := as(context.Background(), "alice", "laptop", "LC_ALL=C.UTF-8", "PS1=prompt: ", "HISTFILE=/dev/null", "bash", "--norc", "--noprofile", "-i").Args
	p := shellInPane(t, 100, 30, shellescape.QuoteCommand(argv))
	p.shows(`prompt:$`)
	p.keys("-l", lab.bin+" attach --no-browser")
	p.keys("Enter")
	p.shows(`l log`)
	p.keys("C-z")
	text := p.shows(`(?s)Stopped.*prompt:$`)
	if strings.Contains(text, "min left") {
		t.Errorf("the block was left:\n%s", text)
	}
	p.keys("-l", "bg")
	p.keys("Enter")
	p.shows(`prompt: bg\n.*attach.*&\nprompt:$`)
	// For longer than it takes until the view looks again.
	if text := poll(2500*time.Millisecond, func() string {
		if text := p.text(); strings.Contains(text, "min left") {
			return ""
		}
		return "quiet"
	}); text == "" {
		t.Errorf("in the background it stands there:\n%s", p.text())
	}
	p.keys("-l", "fg")
	p.keys("Enter")
	p.shows(`l log`)
	p.keys("d")
	p.shows(`(?s)detached: it runs.*prompt:$`)
	p.keys("-l", "exit")
	p.keys("Enter")
	p.ends(0)
	s.signal(syscall.SIGINT)
	s.end(0)
}

// TestViewSuspendedOwner: whoever shares the connection of a process that is stopped by Ctrl-Z
// has another before it could miss it.
func TestViewSuspendedOwner(t *testing.T) {
	begin(t)
	argv := as(context.Background(), "alice", "laptop", "LC_ALL=C.UTF-8", "PS1=prompt: ", "HISTFILE=/dev/null", "bash", "--norc", "--noprofile", "-i").Args
	p := shellInPane(t, 100, 30, shellescape.QuoteCommand(argv))
	p.shows(`prompt:$`)
	before := loginsAtEla()
	p.keys("-l", lab.bin+" run --cluster daint --no-browser -- "+lab.testserver+" 127.0.0.1:{port}")
	p.keys("Enter")
	p.shows(`l log`)
	s := serve(t, nil)
	e := s.ready()
	if n := loginsAtEla() - before; n != 1 {
		t.Fatalf("two sessions have %d connections to ela", n)
	}
	p.keys("C-z")
	p.shows(`(?s)Stopped.*prompt:$`)
	began := time.Now()
	for range 3 {
		if code, body := get(t, e.URL); code != http.StatusOK {
			t.Errorf("the other session: %d %s", code, body)
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the other session answered after %s", took)
	}
	if e, told := s.find("lost"); told {
		t.Errorf("it is told of: %+v", e)
	}
	if n := loginsAtEla() - before; n != 2 {
		t.Errorf("there are %d connections to ela", n)
	}
	p.keys("-l", "fg")
	p.keys("Enter")
	p.shows(`l log`)
	closeReady(t, s)
	p.keys("C-c")
	p.shows(`(?s)ended as asked.*prompt:$`)
	p.keys("-l", "exit")
	p.keys("Enter")
	p.ends(0)
}
