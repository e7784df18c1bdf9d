package app

import (
	"regexp"
	"strings"
	"unicode"
)

// plainName matches one plain word: the name becomes part of a file name on the laptop.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// IsName reports whether name is valid for an app.
func IsName(name string) bool { return plainName.MatchString(name) }

// isLocalPath reports whether a path stays on the server to which it is appended. A browser reads
// "//host" and "/\host" as another host, and removes control characters first.
func isLocalPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") &&
		!strings.ContainsFunc(path, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
}
