package ui

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "Invalid account", "Invalid account"},
		{"letters of all kinds", "Zürich 東京 ✓", "Zürich 東京 ✓"},
		{"colour", "a \x1b[1;31mred\x1b[0m b", "a red b"},
		{"eight-bit CSI", "a\u009b2Jb", "ab"},
		{"clear screen", "\x1b[2J\x1b[Hgone", "gone"},
		{"title", "\x1b]0;pwned\x07text", "text"},
		{"clipboard, other end", "\x1b]52;c;ZXZpbA==\x1b\\text", "text"},
		{"unended title", "text\x1b]0;pwned", "text"},
		{"device control", "\x1bPq#0\x1b\\x", "x"},
		{"short", "\x1bcreset\x1b(0", "reset"},
		{"lone escape", "a\x1b", "a"},
		{"lines", "one\r\ntwo\n", "one  two"},
		{"bell, backspace, delete", "a\a\b\x7fb", "ab"},
		{"direction", "abc\u202etxt.exe", "abctxt.exe"},
		{"invalid", "a\xff\xfeb", "a\uFFFDb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Clean(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCleanLine(t *testing.T) {
	for in, want := range map[string]string{
		"\tindented\n":                "    indented",
		"  two":                       "  two",
		"10%\r50%\r100% done\r\n":     "100% done",
		"   \x1b[31mcoloured\x1b[0m ": "   coloured",
		"":                            "",
	} {
		if got := CleanLine(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb")
	f.Add("\x1b]0;x\x07\u009b\u202e\xff")
	f.Add("\x1b\x1b[[31mm")
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{Clean(s), CleanLine(s)} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
				return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
			}) {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}
