package site

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ConfigError reports something in config.toml or the site-wide file that cannot be used.
type ConfigError struct {
	File         string
	Line, Column int // 0: the file as a whole
	Message      string
	Fix          string // the command that fixes it; "": edit the file
	Advice       string // what to do instead, if no command can fix it

	isText bool // the text is no configuration, from which other problems of the file may follow
}

func (e *ConfigError) Error() string {
	return Position{e.File, e.Line, e.Column}.String() + ": " + e.Message
}

// UnknownClusterError reports an unknown cluster.
type UnknownClusterError struct {
	Name    string
	Nearest string // the known name most likely meant; may be empty
	Known   []string
	Ignored string // the site-wide file, if it is ignored
}

func (e *UnknownClusterError) Error() string {
	s := formatUnknown("cluster", e.Name, e.Nearest)
	if e.Ignored != "" {
		s += " (" + e.Ignored + " may define it, but is ignored)"
	}
	return s
}

// UnknownRecipeError reports a recipe that no file has.
type UnknownRecipeError struct {
	Name    string
	Nearest string
	Known   []string
	File    string // the user's config.toml
}

func (e *UnknownRecipeError) Error() string {
	return formatUnknown("recipe", e.Name, e.Nearest)
}

func formatUnknown(what, name, nearest string) string {
	s := fmt.Sprintf("unknown %s %q", what, name)
	if nearest != "" {
		s += fmt.Sprintf(", did you mean %q?", nearest)
	}
	return s
}

// SSHConfigError reports that ssh refuses its configuration, or that cscs cannot use it.
type SSHConfigError struct {
	Host    string // that was asked for
	Message string // mostly ssh's message, with file and line

	Unknown []string // options that this ssh does not know, in the file File; ssh writes their names in lower case
	File    string
}

// unknownOption matches ssh's message about an option that it does not know (OpenSSH's readconf.c).
var unknownOption = regexp.MustCompile(`(?m)^(.+?):? line \d+: Bad configuration option: (\S+)`)

// readRefusal parses ssh's messages about its configuration: the first line and all unknown options.
func readRefusal(host, said string) *SSHConfigError {
	e := &SSHConfigError{Host: host}
	e.Message, _, _ = strings.Cut(strings.TrimSpace(said), "\n")
	e.Message = strings.TrimSpace(e.Message)
	for _, m := range unknownOption.FindAllStringSubmatch(strings.ReplaceAll(said, "\r", ""), -1) {
		e.File = cmp.Or(e.File, m[1])
		if !slices.Contains(e.Unknown, m[2]) {
			e.Unknown = append(e.Unknown, m[2])
		}
	}
	return e
}

func (e *SSHConfigError) Error() string {
	return fmt.Sprintf("ssh's configuration for %s: %s", e.Host, e.Message)
}

// ProxyCommandError reports a host that ssh reaches by a program of the user's. cscs does not run it,
// since it carries every hop itself.
type ProxyCommandError struct {
	Host    string
	Command string
}

func (e *ProxyCommandError) Error() string {
	return fmt.Sprintf("ssh's configuration reaches %s by a ProxyCommand, which cscs cannot use: %s", e.Host, e.Command)
}

// Nearest returns the candidate with the fewest edits from name, or "" if none is near enough.
func Nearest(name string, candidates []string) string {
	best, at := "", 0
	for _, c := range candidates {
		d := editDistance(strings.ToLower(name), strings.ToLower(c))
		limit := max(1, (len(c)+1)/3) // "daitn" may be daint, "x" is unknown
		if strings.HasPrefix(strings.ToLower(c), strings.ToLower(name)) && len(name) >= 2 {
			d, limit = min(d, 1), 1 // "dai" is short for daint
		}
		if d <= limit && (best == "" || d < at) {
			best, at = c, d
		}
	}
	return best
}

// editDistance returns how many insertions, deletions, replacements and swaps of neighbours turn a into b.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range y {
		d[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
