package ui

import (
	"regexp"
	"strings"
	"unicode"
)

// sequences matches whole control sequences. Removing only the ESC of "ESC [ 31 m" would leave the rest in the
// text.
var sequences = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" + // CSI: colours, cursor
	"|(?:\x1b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c|$)" + // OSC, DCS: titles, links, the clipboard
	"|\x1b[ -/]*[0-~]") // short sequences

// Clean makes one safe line of text from another machine. It removes control sequences, control characters and
// characters that change the writing direction, and makes the text valid UTF-8.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = sequences.ReplaceAllString(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// CleanLine is Clean for a line of a log. It keeps the indentation, and only the text after the last carriage
// return, since progress bars overwrite their line.
func CleanLine(s string) string {
	s = strings.TrimRight(s, "\r\n")
	if i := strings.LastIndexByte(s, '\r'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.ReplaceAll(s, "\t", "    ")
	text := Clean(s)
	if indent := len(s) - len(strings.TrimLeft(s, " ")); text != "" && indent > 0 {
		text = strings.Repeat(" ", indent) + text
	}
	return text
}

// tokenValue matches the value of a secret in the query or fragment of an address.
var tokenValue = regexp.MustCompile(`(?i)([?&;#](?:[a-z0-9.]+[_-])*(?:token|tkn|secret|passw(?:or)?d|pwd|auth|key|apikey)=)[^\s&;#"'<>]+`)

// MaskTokens replaces what may be a token in a line of a server's log. A server with a login prints a link with
// its token, and other users may read where the line goes (invariant I6).
func MaskTokens(line string) string { return tokenValue.ReplaceAllString(line, "${1}...") }
