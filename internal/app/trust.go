package app

import (
	"regexp"
	"strings"
	"unicode"
)

// A name becomes part of a file's name on the laptop, so it is one plain word.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// IsName reports whether an app may have that name.
func IsName(name string) bool { return plainName.MatchString(name) }

// isLocalPath reports whether a path stays on the server that it is appended to. A browser reads
// "//host" and "/\host" as another host, and leaves control characters out before it reads.
func isLocalPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") &&
		!strings.ContainsFunc(path, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
}
