package ui

import (
	"bytes"
	"strings"
)

// logLines shows a log, line by line, among the lines that are there for good.
type logLines struct {
	text *Text
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
	l.text.log(string(l.rest[:end]))
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return len(p), nil
}

// log shows lines of the server's log.
func (t *Text) log(lines string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	t.clear()
	for l := range strings.Lines(lines) {
		t.print(t.paint(dim, t.mark("│", "|")) + " " + CleanLine(l))
	}
	t.show()
}
