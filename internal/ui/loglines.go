package ui

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// logLines shows a log by whole lines.
type logLines struct {
	show func(lines string)
	rest []byte // of a line whose end has not come
}

// longLine is where a line is broken that has no end.
const longLine = 8 << 10

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

// Log is where a log goes that a person has asked for: standard output, as it is, but to a
// terminal only what cannot steer it. What has no end of line yet is written by done.
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

// printLogLines shows lines of the server's log, among the lines that are there for good.
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
