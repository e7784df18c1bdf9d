package sshconfig

import (
	"bytes"
	"path/filepath"
	"strings"
)

// includeLine returns the line with which the user's file includes ours.
func (f Files) includeLine() string { return "Include " + f.quotedPart() }

// quotedPart returns the name of our file in that line.
func (f Files) quotedPart() string {
	part := f.Part
	if includeHome() == passwdHome() {
		part = Tilde(part)
	}
	return quotePath(part)
}

// Tilde returns path with ~ for the home directory, if ssh expands ~ to that.
func Tilde(path string) string {
	home := passwdHome()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && home != "" {
		return "~/" + filepath.ToSlash(rest)
	}
	return path
}

// insertInclude puts our line at the top, unless a line before the first block includes our file.
// Behind a block, the line would be a part of it. For a line that names our file by tokens, which
// OpenSSH expands since 9.9 only, insertInclude asks reads.
func (f Files) insertInclude(data []byte, reads func(line []byte) bool) []byte {
	for line := range bytes.Lines(data) {
		for _, w := range parseInclude(line) {
			switch by := f.matchWord(w); {
			case by == noMatch:
			case !by.tokens || reads(line):
				return data
			}
		}
		if word, _ := parseKeyword(line); strings.EqualFold(word, "host") || strings.EqualFold(word, "match") {
			break
		}
	}
	rest := []byte(f.includeLine() + "\n")
	for line := range bytes.Lines(data) {
		if !f.isOwnInclude(line) {
			rest = append(rest, line...)
		}
	}
	return rest
}

// isOwnInclude reports whether a line includes our file only.
func (f Files) isOwnInclude(line []byte) bool {
	words := parseInclude(line)
	for _, w := range words {
		if by := f.matchWord(w); by == noMatch || by.wild {
			return false
		}
	}
	return len(words) > 0
}

// removeInclude removes our file from all lines that name it, and a line that names nothing else as a
// whole. It keeps patterns, which may be meant for other files too.
func (f Files) removeInclude(data []byte) []byte {
	return rewriteIncludes(data, func(w word) string {
		if by := f.matchWord(w); by != noMatch && !by.wild {
			return ""
		}
		return w.raw
	})
}

// rewriteIncludes replaces each pattern of the Include lines by the result of become. It removes a line
// without patterns.
func rewriteIncludes(data []byte, become func(word) string) []byte {
	var rest []byte
	for line := range bytes.Lines(data) {
		words := parseInclude(line)
		var kept []string
		changed := false
		for _, w := range words {
			now := become(w)
			changed = changed || now != w.raw
			if now != "" {
				kept = append(kept, now)
			}
		}
		switch {
		case !changed:
			rest = append(rest, line...)
		case len(kept) > 0:
			before, after := line[:words[0].start], line[words[len(words)-1].end():]
			rest = append(rest, before...)
			if kept[0][0] == '=' && !bytes.ContainsRune(before, '=') {
				rest = append(rest, "= "...) // else ssh takes that = as the one after the keyword
			}
			rest = append(rest, strings.Join(kept, " ")...)
			rest = append(rest, after...)
		}
	}
	return rest
}

// remainingLines returns the lines with a pattern that includes our file if it exists.
func (f Files) remainingLines(data []byte) []string {
	var lines []string
	for line := range bytes.Lines(data) {
		for _, w := range parseInclude(line) {
			if f.matchWord(w) != noMatch {
				lines = append(lines, strings.TrimSpace(string(line)))
				break
			}
		}
	}
	return lines
}

// removableInclude returns, for a message, what to remove to exclude our file: a word, or a line that
// includes nothing else.
func (f Files) removableInclude(data []byte) string {
	for line := range bytes.Lines(data) {
		if f.isOwnInclude(line) {
			return strings.TrimSpace(string(line))
		}
		for _, w := range parseInclude(line) {
			if by := f.matchWord(w); by != noMatch && !by.wild {
				return w.raw
			}
		}
	}
	return f.includeLine()
}
