package sshconfig

import "strings"

// joinForWindows returns the command line of a ProxyCommand on Windows, where ssh uses no shell. A path there has
// no quotation marks. The arguments are words of this program.
func joinForWindows(program string, args ...string) string {
	if strings.Contains(program, " ") {
		program = `"` + program + `"`
	}
	return escapePercent(strings.Join(append([]string{program}, args...), " "))
}
