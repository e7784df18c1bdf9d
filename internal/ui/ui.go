// Package ui writes to standard output, standard error and the terminal for all
// commands. Its rules:
//
//   - Standard output has the result: the URL, or with --json the events, one
//     object per line. Everything else goes to standard error.
//   - Questions are asked on the terminal itself, even if the streams are
//     redirected.
//   - A secret (the link with its token) is shown on a terminal only.
//   - Text from other machines loses everything that could control a terminal.
//   - A line is rewritten in place only if the terminal supports it. Messages
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

// A Printer shows the events of a session.
type Printer interface {
	Event(session.Event)
}

// IO has the streams of a command and the properties of the terminal behind them.
type IO struct {
	Out, Err       io.Writer
	OutTTY, ErrTTY bool       // a user reads it
	Rewrite        bool       // lines on Err can be rewritten
	Color          bool       // on Err
	Unicode        bool       // on Err
	Width          func() int // of Err, in columns; set only if ErrTTY
	Height         func() int // of Err, in lines; nil: not known
}

// System returns the IO of this process.
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
	// In CI, a terminal may be recorded as a log.
	if s.ErrTTY && !isDumb(os.Getenv("TERM")) && !isCI(os.Getenv("CI")) {
		s.Rewrite = enableEscapes(os.Stderr)
	}
	s.Color = s.Rewrite && os.Getenv("NO_COLOR") == "" // no-color.org
	return s
}

// isDumb reports whether a terminal of type term is not known to take escape sequences. Windows sets no TERM.
func isDumb(term string) bool { return term == "dumb" || term == "" && runtime.GOOS != "windows" }

// isCI reports whether this value of $CI means that no user reads the output.
func isCI(value string) bool { return value != "" && value != "0" && value != "false" }

// terminalSize returns the size of Err in columns and lines; 24 lines if the height is not known.
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

// utf8Locale reports whether the locale is UTF-8, by the variables that C programs use. On Windows it returns
// true: Go writes UTF-16 to the console.
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
