package slurm

import (
	"strconv"
	"strings"
)

// A line is one line of the remote half's answer: a kind and fields, separated by tabs. Lines of
// the session's event file begin with "@".
type line struct {
	kind   string
	fields []string
	size   int64 // in the event file, with its newline; 0 if it is not an event
}

func parseLine(s string) line {
	var l line
	if rest, ok := strings.CutPrefix(s, "@"); ok {
		s = rest
		l.size = int64(len(s)) + 1
	}
	parts := strings.Split(strings.ToValidUTF8(s, "\uFFFD"), "\t")
	l.kind, l.fields = parts[0], parts[1:]
	return l
}

// get returns the first value of key, or "".
func (l line) get(key string) string {
	for _, f := range l.fields {
		if k, v, ok := strings.Cut(f, "="); ok && k == key {
			return v
		}
	}
	return ""
}

// getAll returns every value of key.
func (l line) getAll(key string) []string {
	var out []string
	for _, f := range l.fields {
		if k, v, ok := strings.Cut(f, "="); ok && k == key {
			out = append(out, v)
		}
	}
	return out
}

// getInt returns the value of key as a number; 0 if it is not a number.
func (l line) getInt(key string) int64 {
	n, _ := strconv.ParseInt(l.get(key), 10, 64)
	return n
}
