package sshconfig

import (
	"os"
	"strings"
)

const (
	quoteHost = "%h"
	nullFile  = "NUL"
)

// Command returns the command line, as ProxyCommand needs it, that runs program with these arguments.
// On Windows ssh uses no shell.
func Command(program string, args ...string) string {
	if strings.Contains(program, " ") {
		program = `"` + program + `"`
	}
	return escapePercent(strings.Join(append([]string{program}, args...), " "))
}

// passwdHome returns the home directory to which ssh expands ~.
func passwdHome() string {
	home, _ := os.UserHomeDir()
	return home
}

// includeHome returns the home directory to which ssh expands ~ in an Include.
func includeHome() string { return passwdHome() }
