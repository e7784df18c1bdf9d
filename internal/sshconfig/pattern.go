package sshconfig

import (
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A naming is how a word of an Include line names our file.
type naming struct {
	named  bool
	wild   bool // by a pattern
	tokens bool // only if ssh expands tokens there
}

var nothing naming

// names tells how a word names our file. A pattern does if it matches the file as it is there.
func (f Files) names(w word) naming {
	if w.raw == f.word() {
		return naming{named: true}
	}
	if by := f.under(w.text); by != nothing {
		return by
	}
	expanded, ok := tokens(w.text)
	if !ok || expanded == w.text {
		return nothing
	}
	by := f.under(expanded)
	by.tokens = by.named
	return by
}

// under tells how a pattern names our file.
func (f Files) under(pattern string) naming {
	pattern = anchored(pattern)
	if !magic(pattern) {
		return naming{named: f.same(unescaped(pattern))}
	}
	there := slices.ContainsFunc(glob(pattern), f.same)
	return naming{named: there, wild: there}
}

// matches are the files that a word matches, as ssh would take them, in that order.
func (f Files) matches(w word) []string {
	if there := glob(anchored(w.text)); len(there) > 0 {
		return there
	}
	expanded, ok := tokens(w.text)
	if !ok {
		return nil
	}
	return glob(anchored(expanded))
}

// same reports whether a path leads to our file, be it there or not.
func (f Files) same(path string) bool {
	path = filepath.FromSlash(path)
	if path == f.Part || sameFile(path, f.Part) {
		return true
	}
	return filepath.Base(path) == filepath.Base(f.Part) && sameFile(filepath.Dir(path), filepath.Dir(f.Part))
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// quoted is a path as a word of an Include line that means this file and is not expanded further.
// For what no version of ssh reads alike, there is a ?, which matches it.
func quoted(path string) string {
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
	q, _ := quote(b.String()) // what it refuses is not in there
	return q
}

// tokens expands those of ssh_config(5)'s "TOKENS" that are the same for every host, and
// environment variables; not ok is another, or a variable that is not set.
func tokens(s string) (expanded string, ok bool) {
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

// anchored is a pattern from the root, as readconf.c has it: what is relative is so to ~/.ssh,
// wherever the configuration is that has it.
func anchored(pattern string) string {
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
		return pattern // nothing has that name
	}
	return filepath.ToSlash(home) + "/" + rest
}

// glob are the files that a pattern from the root matches, in the order of glob(7).
func glob(pattern string) []string {
	volume := filepath.VolumeName(pattern)
	found := []string{volume}
	for i, part := range strings.Split(pattern[len(volume):], "/") {
		sep := "/"
		if i == 0 {
			sep = ""
		}
		if !magic(part) {
			for i := range found {
				found[i] += sep + unescaped(part)
			}
			continue
		}
		one := component(part)
		if one == nil {
			return nil
		}
		var next []string
		for _, dir := range found {
			entries, _ := os.ReadDir(dir + sep) // what cannot be read matches nothing
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

// magic reports whether there is a wildcard in a pattern.
func magic(s string) bool {
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

func unescaped(s string) string { return escape.ReplaceAllString(s, "$1") }

// component is a pattern for one name of a path, nil if it is none that could match.
func component(s string) *regexp.Regexp {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		case '[':
			set, n := bracket(s[i+1:])
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

// bracket is a bracket expression that begins there, for regexp, and how long it is; without an
// end it is the bracket itself.
func bracket(s string) (set string, n int) {
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
