package sshconfig

import (
	"bytes"
	"path/filepath"
	"strings"
)

// line is what the user's own file includes ours by.
func (f Files) line() string {
	part := Tilde(f.Part)
	q, err := quote(filepath.ToSlash(part))
	if err != nil { // a path with a quote in it; ssh will refuse it, and say so
		return "Include " + part
	}
	return "Include " + q
}

// Tilde is a path as people write it, with ~ for the home directory, if ssh means the same by that.
func Tilde(path string) string {
	home := passwdHome()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && home != "" {
		return "~/" + filepath.ToSlash(rest)
	}
	return path
}

// insert puts our line at the top, unless it stands before every block already: behind
// one, it would be a part of that.
func (f Files) insert(data []byte) []byte {
	for line := range bytes.Lines(data) {
		if f.isOurs(line) {
			return data
		}
		if word := firstWord(line); strings.EqualFold(word, "host") || strings.EqualFold(word, "match") {
			break
		}
	}
	return append([]byte(f.line()+"\n"), f.remove(data)...)
}

// remove takes our line out, wherever it stands.
func (f Files) remove(data []byte) []byte {
	var rest []byte
	for line := range bytes.Lines(data) {
		if !f.isOurs(line) {
			rest = append(rest, line...)
		}
	}
	return rest
}

// isOurs reports whether a line includes our file and nothing else.
func (f Files) isOurs(line []byte) bool {
	word := firstWord(line)
	if !strings.EqualFold(word, "include") {
		return false
	}
	rest := strings.TrimSpace(strings.TrimSpace(string(line))[len(word):])
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "="))
	if len(rest) > 1 && rest[0] == '"' && rest[len(rest)-1] == '"' {
		rest = rest[1 : len(rest)-1]
	}
	if after, ok := strings.CutPrefix(rest, "~/"); ok {
		rest = filepath.Join(passwdHome(), after)
	}
	return filepath.FromSlash(rest) == f.Part
}

// firstWord is the keyword of a line of ssh_config, which an = may follow as well as a space.
func firstWord(line []byte) string {
	s := strings.TrimSpace(string(line))
	if i := strings.IndexAny(s, " \t="); i >= 0 {
		return s[:i]
	}
	return s
}
