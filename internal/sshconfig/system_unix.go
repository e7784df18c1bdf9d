//go:build unix

package sshconfig

import (
	"os"
	"os/user"

	"al.essio.dev/pkg/shellescape"
)

// ssh runs the ProxyCommand in a shell, and the user types the name in it.
const (
	quoteHost = "'%h'"
	nullFile  = "/dev/null"
)

// Command returns the command line, as ProxyCommand needs it, that runs program with these arguments.
func Command(program string, args ...string) string {
	return escapePercent(shellescape.QuoteCommand(append([]string{program}, args...)))
}

// passwdHome returns the home directory to which ssh expands ~. ssh ignores HOME there.
func passwdHome() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.HomeDir
}

// includeHome returns the home directory to which glob in ssh expands ~ in an Include.
func includeHome() string {
	if home, ok := os.LookupEnv("HOME"); ok {
		return home
	}
	return passwdHome()
}
