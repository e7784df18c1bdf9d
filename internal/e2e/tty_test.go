//go:build lab

package e2e

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// term is a cscs on a terminal, as alice sees it.
type term struct {
	*background
	tty  *os.File
	seen int // how much of the screen was expected already
}

// terminal starts "cscs WORDS…" as alice on the laptop, on a terminal of its
// own. VAR=VALUE words before the command set its environment.
func terminal(t *testing.T, words ...string) *term {
	t.Helper()
	var env []string
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	argv := append(append(env, lab.bin), words...)
	c := as(context.Background(), "alice", "laptop", argv...)
	c.Env = append(os.Environ(), "TERM=xterm-256color")
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 40, Cols: 200})
	if err != nil {
		t.Fatalf("start %q: %v", c.Args, err)
	}
	b := &background{t: t, cmd: c, stdout: newTape(), stderr: newTape(), done: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(b.stdout, tty) // ends with EIO when the last process has closed the terminal
	}()
	go b.wait(read)
	t.Cleanup(func() {
		b.kill()
		_ = tty.Close()
		<-read
	})
	return &term{background: b, tty: tty}
}

func (m *term) send(keys string) {
	m.t.Helper()
	if _, err := m.tty.WriteString(keys); err != nil {
		m.t.Fatalf("type %q: %v", keys, err)
	}
}

const ctrlC = "\x03"

// interrupt is what ctrlC makes the terminal send.
const interrupt = syscall.SIGINT

// expect waits until what follows on the screen matches, and gives the match
// and its groups.
func (m *term) expect(pattern string) []string {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	var match []string
	found := m.stdout.await(patience, func(text string) string {
		rest := plain(text)
		if m.seen > len(rest) {
			return ""
		}
		at := re.FindStringSubmatchIndex(rest[m.seen:])
		if at == nil {
			return ""
		}
		match = re.FindStringSubmatch(rest[m.seen:])
		m.seen += at[1]
		return "found"
	})
	if found == "" {
		m.t.Fatalf("the screen never showed %s\n%s", pattern, plain(m.stdout.String()))
	}
	return match
}

// control are the terminal's control sequences; between the words that a user
// reads they mean nothing.
var control = regexp.MustCompile("\x1b\\[[0-9;?=>]*[a-zA-Z]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)|\x1b[=>()][0B]?|\r")

func plain(text string) string { return control.ReplaceAllString(text, "") }
