package ui

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// logLines is a writer that shows a log in whole lines.
type logLines struct {
	show func(lines string)
	rest []byte // the last line, if it is incomplete
}

// longLine is the length in bytes at which a line without an end is broken.
const longLine = 8 << 10

// Write shows the complete lines and keeps the rest. It never fails.
func (l *logLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 && len(l.rest) > longLine {
		end = len(l.rest)
	}
	if end == 0 {
		return len(p), nil
	}
	l.show(string(l.rest[:end]))
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return len(p), nil
}

// Log returns the writer for a log that the user asked for. It writes to standard output, unchanged, or on a
// terminal without anything that controls it. done writes the last line if it has no end.
func Log(to *IO) (w io.Writer, done func()) {
	if !to.OutTTY {
		return to.Out, func() {}
	}
	l := &logLines{show: func(lines string) {
		for line := range strings.Lines(lines) {
			fmt.Fprintln(to.Out, CleanLine(line))
		}
	}}
	return l, func() {
		if len(l.rest) > 0 {
			l.show(string(l.rest))
		}
	}
}

// printLogLines prints lines of the server's log among the permanent lines.
func (t *Text) printLogLines(lines string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	t.eraseTransient()
	for l := range strings.Lines(lines) {
		t.writeLine(t.colorText(dim, t.chooseMark("│", "|")) + " " + CleanLine(l))
	}
	t.drawTransient()
}
