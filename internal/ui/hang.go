package ui

import (
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// wrapHanging breaks a permanent line between words at the terminal's present width and indents the further
// lines. A longer word, such as a link, is not broken; the terminal wraps it. A cscs command is one word, so
// that the user can paste it. So is tail, which comes last. If lines cannot be rewritten, the output may be a
// log, and the line is not broken.
func (s *IO) wrapHanging(line, tail string) []string {
	words := splitWords(line)
	if tail != "" {
		words, line = append(words, tail), line+" "+tail
	}
	if !s.Rewrite {
		return []string{line}
	}
	w := s.Width() - 1
	if displaywidth.String(line) <= w {
		return []string{line}
	}
	lines := []string{""}
	used := 0
	for _, word := range words {
		last, n := len(lines)-1, displaywidth.String(word)
		switch {
		case lines[last] == "":
			lines[last], used = word, n
		case used+1+n <= w || n > w-len(indent):
			lines[last] += " " + word
			used += 1 + n
		default:
			lines = append(lines, indent+word)
			used = len(indent) + n
		}
	}
	return lines
}

// splitWords splits a line into words. A cscs command is one word, up to the punctuation that ends it.
func splitWords(line string) []string {
	var words []string
	command := false
	for _, word := range strings.Fields(line) {
		if last := len(words) - 1; command {
			words[last] += " " + word
		} else {
			words = append(words, word)
		}
		command = (command || word == "cscs") && !strings.ContainsAny(word[len(word)-1:], ",;:)")
	}
	return words
}

// indent is the indentation of the further lines of a message.
const indent = "  "
