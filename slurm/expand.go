package slurm

import (
	"regexp"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// reference and leading are the grammar of variables in paths that remote/00-expand.sh replaces.
var (
	reference = regexp.MustCompile(`\\?\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)
	leading   = regexp.MustCompile(`^\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})(?:/|$)`)
)

// notWord are the characters that a single word of a shell does not contain.
const notWord = " \t\n\v\f\r'\"`;&|<>()#*"

// ExpandVariables returns text with $NAME and ${NAME} replaced by the result of value, and \$NAME
// by $NAME. It passes all other text through literal.
func ExpandVariables(text string, literal, value func(string) string) string {
	var b strings.Builder
	for {
		at := reference.FindStringSubmatchIndex(text)
		if at == nil {
			return b.String() + literal(text)
		}
		b.WriteString(literal(text[:at[0]]))
		switch {
		case text[at[0]] == '\\':
			b.WriteString(literal(text[at[0]+1 : at[1]]))
		case at[2] >= 0:
			b.WriteString(value(text[at[2]:at[3]]))
		default:
			b.WriteString(value(text[at[4]:at[5]]))
		}
		text = text[at[1]:]
	}
}

// ExpandsEnv reports whether variables are replaced in value, the value of an environment variable
// of the server. They are replaced in a path only.
func ExpandsEnv(value string) bool {
	return (strings.HasPrefix(value, "/") || strings.HasPrefix(value, "~") || leading.MatchString(value)) && !strings.ContainsAny(value, notWord)
}

// SplitArgument splits an argument of the server's command: path is the part in which variables are
// replaced, and head is "--option=" or "". It returns false if no variables are replaced. The paths
// in reads are those that the server shows.
func SplitArgument(arg string, reads []string) (head, path string, ok bool) {
	path = arg
	if name, value, found := strings.Cut(arg, "="); found && strings.HasPrefix(name, "--") && !strings.ContainsAny(name, notWord) {
		head, path = name+"=", value
	}
	if leading.MatchString(path) && !strings.ContainsAny(path, notWord) || head != "" && slices.Contains(reads, path) {
		return head, path, true
	}
	return "", arg, false
}

// quoteVariables quotes text for a shell that replaces its variables.
func quoteVariables(text string) string {
	literal := func(s string) string {
		if s == "" {
			return ""
		}
		return shellescape.Quote(s)
	}
	quoted := ExpandVariables(text, literal, func(name string) string { return `"${` + name + `}"` })
	if quoted == "" {
		return "''"
	}
	return quoted
}

// quoteOptions quotes options of srun in the same way.
func quoteOptions(options []string) string {
	words := make([]string, 0, len(options))
	for _, o := range options {
		words = append(words, quoteVariables(o))
	}
	return strings.Join(words, " ")
}

// quoteArguments quotes the server's command in the same way.
func quoteArguments(argv, reads []string) string {
	words := make([]string, 0, len(argv))
	for _, arg := range argv {
		word := shellescape.Quote(arg)
		if head, path, ok := SplitArgument(arg, reads); ok {
			word = head + quoteVariables(path)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
