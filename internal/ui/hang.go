package ui

import (
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// wrapHanging is a line that is there for good in as many as it takes, where a person looks on: broken
// between words, at the width that the terminal has now, with the further lines set in. A word
// that is longer than a line, as a link may be, stays in one piece, which the terminal breaks. A
// command of ours is one word, so that it can be pasted, and so is tail, if there is any: it comes
// last. Whatever a log may be made of is not broken.
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

// splitWords are the words of a line, in which a command of ours is but one, up to what ends it.
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

// indent is how far the further lines of a message are set in.
const indent = "  "
