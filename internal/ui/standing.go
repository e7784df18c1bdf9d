package ui

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// footer is the block below the permanent lines, which is rewritten in place. The cursor stays on its first
// row, in the first column. A terminal that becomes narrower wraps the block and moves the cursor with its row.
// To erase the block, footer erases from the cursor to the end; it never counts rows.
//
// Each change is one write in synchronized output (mode 2026). Other terminals ignore that mode.
type footer struct {
	terminal io.Writer
	out      bytes.Buffer // not yet written to the terminal
	rows     []string     // on the screen once out is written
	w, h     int          // the size for which rows were made
	drawn    bool         // out contains rows
}

// Write buffers permanent output. The block must have been erased.
func (s *footer) Write(p []byte) (int, error) { return s.out.Write(p) }

// Wrapping is off (DECAWM) while rows are written. A terminal that becomes narrower may report it late (tmux:
// up to a quarter of a second), and the cursor must still return to the first row.
const wrapOff, wrapOn = "\x1b[?7l", "\x1b[?7h"

func (s *footer) erase() {
	if s.rows != nil {
		// Erase from the second column: if the erasure began in the first column of the screen, tmux would keep
		// the text in its history.
		s.out.WriteString("\r\x1b[K\x1b[C\x1b[J\r")
		s.rows = nil
	}
}

// draw replaces the block by rows, each narrower than w, on a terminal of w columns and h lines.
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
	// The rows are overwritten and not erased first, so that unchanged text does not flicker.
	s.out.WriteString("\r" + wrapOff + strings.Join(rows, "\x1b[K\r\n") + "\x1b[J" + wrapOn)
	if up := len(rows) - 1; up > 0 {
		fmt.Fprintf(&s.out, "\x1b[%dA", up)
	}
	s.out.WriteByte('\r')
	s.rows, s.drawn = rows, true
}

// flush writes the buffer to the terminal.
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

// unbufferedWriter writes the result to the same terminal, after what is buffered.
type unbufferedWriter struct {
	s *footer
	w io.Writer
}

func (t unbufferedWriter) Write(p []byte) (int, error) {
	t.s.flush()
	return t.w.Write(p)
}
