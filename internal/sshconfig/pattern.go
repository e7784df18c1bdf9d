package sshconfig

import (
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// A partMatch says how a word of an Include line names our file.
type partMatch struct {
	matched bool
	wild    bool // by a wildcard
	tokens  bool // only if ssh expands tokens
}

var noMatch partMatch

// matchWord reports how a word names our file. A pattern matches only if the file exists.
func (f Files) matchWord(w word) partMatch {
	if w.raw == f.quotedPart() {
		return partMatch{matched: true}
	}
	if by := f.matchPattern(w.text); by != noMatch {
		return by
	}
	expanded, ok := expandTokens(w.text)
	if !ok || expanded == w.text {
		return noMatch
	}
	by := f.matchPattern(expanded)
	by.tokens = by.matched
	return by
}

// matchPattern reports how a pattern names our file.
func (f Files) matchPattern(pattern string) partMatch {
	pattern = anchorPattern(pattern)
	if !hasWildcard(pattern) {
		return partMatch{matched: f.isPartPath(unescapePattern(pattern))}
	}
	there := slices.ContainsFunc(globFiles(pattern), f.isPartPath)
	return partMatch{matched: there, wild: there}
}

// includedFiles returns the files that a word matches, in ssh's order.
func (f Files) includedFiles(w word) []string {
	if there := globFiles(anchorPattern(w.text)); len(there) > 0 {
		return there
	}
	expanded, ok := expandTokens(w.text)
	if !ok {
		return nil
	}
	return globFiles(anchorPattern(expanded))
}

// isPartPath reports whether a path leads to our file, which need not exist.
func (f Files) isPartPath(path string) bool {
	path = filepath.FromSlash(path)
	if path == f.Part || regular.Same(path, f.Part) {
		return true
	}
	return filepath.Base(path) == filepath.Base(f.Part) && regular.Same(filepath.Dir(path), filepath.Dir(f.Part))
}

// quotePath returns a path as a word of an Include line, without further expansion. It replaces
// characters that versions of ssh read differently by ?, which matches them.
func quotePath(path string) string {
	path = filepath.ToSlash(path)
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case strings.IndexByte("*?[", c) >= 0:
			b.WriteString("[" + string(c) + "]")
		case strings.IndexByte("\"\\%$", c) >= 0, c < ' ', c == 0x7f:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	q, _ := quoteArgument(b.String()) // b contains nothing that it refuses
	return q
}

// expandTokens expands environment variables and those TOKENS of ssh_config(5) that are equal for all
// hosts. ok is false for any other token and for a variable that is not set.
func expandTokens(s string) (expanded string, ok bool) {
	ok = true
	expanded = token.ReplaceAllStringFunc(s, func(t string) string {
		switch t {
		case "%%":
			return "%"
		case "%d":
			return passwdHome()
		case "%i", "%u":
			u, err := user.Current()
			if err == nil && t == "%u" {
				return u.Username
			}
			if err == nil {
				return u.Uid
			}
		}
		if name, isVariable := strings.CutPrefix(t, "${"); isVariable {
			if v, set := os.LookupEnv(strings.TrimSuffix(name, "}")); set {
				return v
			}
		}
		ok = false
		return t
	})
	return expanded, ok
}

var token = regexp.MustCompile(`(?s)%.?|\$\{[^}]*\}`)

// anchorPattern returns an absolute pattern, as readconf.c does: a relative one is relative to ~/.ssh, in any file.
func anchorPattern(pattern string) string {
	pattern = filepath.ToSlash(pattern)
	if !filepath.IsAbs(pattern) && !strings.HasPrefix(pattern, "~") {
		pattern = "~/.ssh/" + pattern
	}
	who, rest, _ := strings.Cut(pattern, "/")
	home := ""
	switch name, tilde := strings.CutPrefix(who, "~"); {
	case !tilde:
		return pattern
	case name == "":
		home = includeHome()
	default:
		if u, err := user.Lookup(name); err == nil {
			home = u.HomeDir
		}
	}
	if home == "" {
		return pattern // no file has that name
	}
	return filepath.ToSlash(home) + "/" + rest
}
