package app

import "strings"

// parseLongOption parses the first of args as a long option. The value is from "--name=value", or
// the argument after "--name".
func parseLongOption(args []string) (name, value string, ok bool) {
	rest, ok := strings.CutPrefix(args[0], "--")
	if !ok || rest == "" {
		return "", "", false
	}
	name, value, has := strings.Cut(rest, "=")
	if !has && len(args) > 1 {
		value = args[1]
	}
	return name, value, true
}
