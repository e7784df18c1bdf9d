package ui

import (
	"regexp"
	"strings"
	"unicode"
)

// sequences are the terminal's control sequences, whole: taking only the ESC from
// "ESC [ 31 m" would leave its tail in the text.
var sequences = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" + // CSI: colours, cursor
	"|(?:\x1b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c|$)" + // OSC, DCS: titles, links, the clipboard
	"|\x1b[ -/]*[0-~]") // the short ones

// Clean makes one harmless line of what another machine said: no control
// sequences, no control characters, nothing that turns the direction of writing, valid UTF-8.
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

// CleanLine is Clean for a line of a log, whose indentation says something and
// which may have been overwritten by carriage returns (progress bars).
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

// MaskTokens replaces what may be a token in a line of a server's log: a server with a login prints a link with
// one, and the line may go to where others read it (invariant I6).
func MaskTokens(line string) string { return tokenValue.ReplaceAllString(line, "${1}...") }
