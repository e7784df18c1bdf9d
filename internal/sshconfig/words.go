package sshconfig

import "strings"

// whitespace is what OpenSSH's readconf.c skips around a line and its keyword.
const whitespace = " \t\r\n"

// A word is one argument of a line.
type word struct {
	text  string // as ssh reads it, without quotes
	raw   string // as it is in the line
	start int    // index in the line
}

func (w word) end() int { return w.start + len(w.raw) }

// parseKeyword returns the first word of a line of ssh_config(5) and the index of what follows.
func parseKeyword(line []byte) (word string, end int) {
	s := trimLine(line)
	i := len(s) - len(strings.TrimLeft(s, whitespace))
	if strings.HasPrefix(s[i:], `"`) {
		if n := strings.IndexByte(s[i+1:], '"'); n >= 0 {
			return s[i+1 : i+1+n], i + n + 2
		}
		return "", len(s)
	}
	n := strings.IndexAny(s[i:], whitespace+`"=`)
	if n < 0 {
		return s[i:], len(s)
	}
	word, end = s[i:i+n], i+n
	if s[end] == '"' {
		return "", len(s) // ssh takes the quote as a part of the keyword
	}
	// One = may follow, with or without space around it.
	end += prefixLength(s[end:], whitespace)
	if strings.HasPrefix(s[end:], "=") {
		end++
	}
	return word, end
}

// parseInclude returns the patterns of an Include line. It returns none for any other line and for one
// that ssh refuses.
func parseInclude(line []byte) []word {
	key, i := parseKeyword(line)
	if !strings.EqualFold(key, "include") {
		return nil
	}
	s := trimLine(line)
	i += prefixLength(s[i:], whitespace)
	words, ok := splitWords(s, i)
	if !ok {
		return nil
	}
	return words
}

// splitWords splits the rest of a line, from index i, into words like OpenSSH's argv_split (misc.c).
// Quotes of both kinds may be anywhere in a word. A # at the start of a word begins a comment.
func splitWords(s string, i int) (words []word, ok bool) {
	for {
		i += prefixLength(s[i:], " \t")
		if i == len(s) || s[i] == '#' {
			return words, true
		}
		var text strings.Builder
		start, quote := i, byte(0)
		for ; i < len(s) && (quote != 0 || s[i] != ' ' && s[i] != '\t'); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				text.WriteByte(s[i])
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			default:
				text.WriteByte(c)
			}
		}
		if quote != 0 || text.Len() == 0 { // ssh refuses both
			return nil, false
		}
		words = append(words, word{text: text.String(), raw: s[start:i], start: start})
	}
}

// trimLine returns what ssh reads of a line, without its end.
func trimLine(line []byte) string {
	s, _, _ := strings.Cut(string(line), "\x00")
	return strings.TrimRight(s, whitespace+"\f")
}

func prefixLength(s, set string) int { return len(s) - len(strings.TrimLeft(s, set)) }
