package app

import "strings"

// parseLongOption takes the first of args apart, if it is a long option: its name, and
// its value from "--name=value" or from the argument that follows "--name".
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
