package sshconfig

import "os"

const (
	quoteHost = "%h"
	nullFile  = "NUL"
)

// Command returns the command line, as ProxyCommand needs it, that runs program with these arguments.
func Command(program string, args ...string) string { return joinForWindows(program, args...) }

// passwdHome returns the home directory to which ssh expands ~.
func passwdHome() string {
	home, _ := os.UserHomeDir()
	return home
}

// includeHome returns the home directory to which ssh expands ~ in an Include.
func includeHome() string { return passwdHome() }
