package sshconfig

import (
	"bytes"
	"path/filepath"
	"strings"
)

// includeLine is what the user's own file includes ours by.
func (f Files) includeLine() string { return "Include " + f.quotedPart() }

// quotedPart is our file, as that line names it.
func (f Files) quotedPart() string {
	part := f.Part
	if includeHome() == passwdHome() {
		part = Tilde(part)
	}
	return quotePath(part)
}

// Tilde is a path as people write it, with ~ for the home directory, if ssh means the same by that.
func Tilde(path string) string {
	home := passwdHome()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && home != "" {
		return "~/" + filepath.ToSlash(rest)
	}
	return path
}

// insertInclude puts our line at the top, unless ours is included before every block already: behind
// one, it would be a part of that. Whether a line that names it by tokens, which OpenSSH knows
// since 9.9 only, includes it, is asked of reads.
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

// isOwnInclude reports whether a line includes our file and nothing else.
func (f Files) isOwnInclude(line []byte) bool {
	words := parseInclude(line)
	for _, w := range words {
		if by := f.matchWord(w); by == noMatch || by.wild {
			return false
		}
	}
	return len(words) > 0
}

// removeInclude takes our file out of the lines that name it, wherever they stand, and a line that names
// nothing else as a whole. A pattern, which may be meant for other files too, stays.
func (f Files) removeInclude(data []byte) []byte {
	return rewriteIncludes(data, func(w word) string {
		if by := f.matchWord(w); by != noMatch && !by.wild {
			return ""
		}
		return w.raw
	})
}

// rewriteIncludes puts in the place of each pattern of a line that includes something what becomes of it;
// a line of which nothing is left goes.
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
				rest = append(rest, "= "...) // or it would be the one that may follow the keyword
			}
			rest = append(rest, strings.Join(kept, " ")...)
			rest = append(rest, after...)
		}
	}
	return rest
}

// remainingLines are the lines that include our file, if it is there, by a pattern.
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

// removableInclude is what of a line includes our file and can be taken out, for people: the whole line if
// there is nothing else in it.
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
