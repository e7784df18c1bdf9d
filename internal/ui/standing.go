package ui

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// footer is what stands below the lines that are there for good and is written anew in
// its place. The cursor waits on its first line, in the first column. So when the terminal is
// made narrower and wraps what stands there, it takes the cursor along, and what is to be
// erased is still all from there on: nothing has to be counted, and nothing is left over or eaten up.
//
// All of a change goes out in one piece, in which a terminal shows nothing half done
// (synchronized output, mode 2026; others ignore it).
type footer struct {
	terminal io.Writer
	out      bytes.Buffer // not yet on the terminal
	rows     []string     // that stand there, or will when out is written
	w, h     int          // the size for which they were made
	drawn    bool         // out has rows in it
}

// Write writes what is there for good. What stands must have been erased.
func (s *footer) Write(p []byte) (int, error) { return s.out.Write(p) }

// Rows are not wrapped as they are written (DECAWM): a terminal that is being made narrower may tell of it
// late (tmux, by a quarter of a second), and the way back to the first row must be right all the same.
const wrapOff, wrapOn = "\x1b[?7l", "\x1b[?7h"

func (s *footer) erase() {
	if s.rows != nil {
		// Not all from the first column on: where that is the screen's first, tmux would keep
		// what is erased in its history.
		s.out.WriteString("\r\x1b[K\x1b[C\x1b[J\r")
		s.rows = nil
	}
}

// draw has rows stand there, each of which is narrower than the terminal, on a terminal of
// that size.
func (s *footer) draw(rows []string, w, h int) {
	if slices.Equal(rows, s.rows) && w == s.w && h == s.h {
		return
	}
	if w != s.w || h != s.h {
		s.erase()
	}
	s.w, s.h = w, h
	if len(rows) == 0 {
		s.erase()
		return
	}
	// Written over, not erased before: what is the same does not flicker.
	s.out.WriteString("\r" + wrapOff + strings.Join(rows, "\x1b[K\r\n") + "\x1b[J" + wrapOn)
	if up := len(rows) - 1; up > 0 {
		fmt.Fprintf(&s.out, "\x1b[%dA", up)
	}
	s.out.WriteByte('\r')
	s.rows, s.drawn = rows, true
}

// flush brings all of it to the terminal.
func (s *footer) flush() {
	if s.out.Len() == 0 {
		return
	}
	b := s.out.Bytes()
	if s.drawn {
		b = slices.Concat([]byte("\x1b[?2026h"), b, []byte("\x1b[?2026l"))
	}
	_, _ = s.terminal.Write(b)
	s.out.Reset()
	s.drawn = false
}

// unbufferedWriter is a writer to the same terminal that is not buffered: the result.
type unbufferedWriter struct {
	s *footer
	w io.Writer
}

func (t unbufferedWriter) Write(p []byte) (int, error) {
	t.s.flush()
	return t.w.Write(p)
}
