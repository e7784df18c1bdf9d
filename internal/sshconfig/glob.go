package sshconfig

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// globFiles returns the files that an absolute pattern matches, in the order of glob(7).
func globFiles(pattern string) []string {
	volume := filepath.VolumeName(pattern)
	found := []string{volume}
	for i, part := range strings.Split(pattern[len(volume):], "/") {
		sep := "/"
		if i == 0 {
			sep = ""
		}
		if !hasWildcard(part) {
			for i := range found {
				found[i] += sep + unescapePattern(part)
			}
			continue
		}
		one := compileComponent(part)
		if one == nil {
			return nil
		}
		var next []string
		for _, dir := range found {
			entries, _ := os.ReadDir(dir + sep) // an unreadable directory matches nothing
			for _, e := range entries {
				if n := e.Name(); one.MatchString(n) && (n[0] != '.' || part[0] == '.') {
					next = append(next, dir+sep+n)
				}
			}
		}
		found = next
	}
	found = slices.DeleteFunc(found, func(path string) bool {
		_, err := os.Lstat(path)
		return err != nil
	})
	slices.Sort(found)
	return found
}

// hasWildcard reports whether a pattern contains a wildcard.
func hasWildcard(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		}
	}
	return false
}

var escape = regexp.MustCompile(`(?s)\\(.)`)

func unescapePattern(s string) string { return escape.ReplaceAllString(s, "$1") }

// compileComponent compiles the pattern for one component of a path, or returns nil if it can match nothing.
func compileComponent(s string) *regexp.Regexp {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		case '[':
			set, n := convertBracket(s[i+1:])
			b.WriteString(set)
			i += n
		default:
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteString(regexp.QuoteMeta(s[i : i+1]))
		}
	}
	one, err := regexp.Compile("^(?s:" + b.String() + ")$")
	if err != nil {
		return nil
	}
	return one
}

// convertBracket converts the bracket expression that s begins with, after its [, to regexp, and
// returns its length. Without a closing ], the [ stands for itself.
func convertBracket(s string) (set string, n int) {
	var b strings.Builder
	b.WriteString("[")
	i := 0
	if strings.HasPrefix(s, "!") {
		b.WriteString("^")
		i++
	}
	for first := true; i < len(s); first = false {
		class := charClass.FindString(s[i:])
		switch c := s[i]; {
		case c == ']' && !first:
			return b.String() + "]", i + 1
		case class != "":
			b.WriteString(class)
			i += len(class)
			continue
		case c == '-' && !first && i+1 < len(s) && s[i+1] != ']':
			b.WriteString("-")
		default:
			if c == '\\' && i+1 < len(s) {
				i++
			}
			if !literal.MatchString(s[i : i+1]) {
				b.WriteString(`\`)
			}
			b.WriteByte(s[i])
		}
		i++
	}
	return `\[`, 0
}

var literal = regexp.MustCompile(`[0-9A-Za-z]|[^\x00-\x7f]`)

var charClass = regexp.MustCompile(`^\[:[a-z]+:\]`)
