package sshconfig

import (
	"os"
	"strings"
)

const (
	quoteHost = "%h"
	nullFile  = "NUL"
)

// Command is the command line that runs program with these arguments, as ProxyCommand has
// it: on Windows no shell is between.
func Command(program string, args ...string) string {
	if strings.Contains(program, " ") {
		program = `"` + program + `"`
	}
	return escapePercent(strings.Join(append([]string{program}, args...), " "))
}

// passwdHome is the home directory that ssh means by ~.
func passwdHome() string {
	home, _ := os.UserHomeDir()
	return home
}

// includeHome is the home directory that ssh means by ~ in an Include.
func includeHome() string { return passwdHome() }
