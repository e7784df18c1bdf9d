// Package ui is the only one that writes to standard output, standard error or
// the terminal. Its rules:
//
//   - Standard output carries the result: the URL, or with --json the events,
//     one object a line. All else goes to standard error.
//   - Questions are asked on the terminal itself, whatever the streams are
//     redirected to.
//   - A secret (the link with its token) is shown on a terminal or not at all.
//   - What other machines say is stripped of everything that could steer a terminal.
//   - A line is rewritten in place only on a terminal that can do that; messages
//     begin in lower case and have no full stop.
package ui

import (
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/alps-tunnel/cscs/session"
)

// A Printer shows what happens to a session.
type Printer interface {
	Event(session.Event)
}

// IO is where a command writes, and what can be shown there.
type IO struct {
	Out, Err       io.Writer
	OutTTY, ErrTTY bool       // a person is looking
	Rewrite        bool       // Err can take back a line
	Color          bool       // on Err
	Unicode        bool       // on Err
	Width          func() int // of Err, in columns; only if ErrTTY
	Height         func() int // likewise, in lines; nil: not known
}

// System is the process's own IO.
func System() *IO {
	s := &IO{
		Out: os.Stdout, Err: os.Stderr,
		OutTTY: term.IsTerminal(int(os.Stdout.Fd())), ErrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		Unicode: utf8Locale(os.Getenv),
		Width: func() int {
			w, _, err := term.GetSize(int(os.Stderr.Fd()))
			if err != nil || w <= 0 {
				return 80
			}
			return w
		},
		Height: func() int {
			_, h, err := term.GetSize(int(os.Stderr.Fd()))
			if err != nil {
				return 0
			}
			return h
		},
	}
	// What runs in CI may have a terminal, of which a log is made.
	if s.ErrTTY && !isDumb(os.Getenv("TERM")) && !isCI(os.Getenv("CI")) {
		s.Rewrite = enableEscapes(os.Stderr)
	}
	s.Color = s.Rewrite && os.Getenv("NO_COLOR") == "" // no-color.org
	return s
}

// isDumb reports whether a terminal of that $TERM takes no escape sequences, for all that is
// known. Windows' consoles have none.
func isDumb(term string) bool { return term == "dumb" || term == "" && runtime.GOOS != "windows" }

// isCI reports whether that value of $CI says that nobody looks on.
func isCI(value string) bool { return value != "" && value != "0" && value != "false" }

// terminalSize is that of Err, in columns and lines.
func (s *IO) terminalSize() (w, h int) {
	w, h = s.Width(), 0
	if s.Height != nil {
		h = s.Height()
	}
	if h <= 0 {
		h = 24
	}
	return w, h
}

// utf8Locale asks the locale as C programs do. Windows has none; Go writes UTF-16
// to its console.
func utf8Locale(getenv func(string) string) bool {
	if runtime.GOOS == "windows" {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
