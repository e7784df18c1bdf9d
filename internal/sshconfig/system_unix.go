//go:build unix

package sshconfig

import (
	"os"
	"os/user"

	"al.essio.dev/pkg/shellescape"
)

// ssh gives the ProxyCommand to a shell, with the name that the user has typed in it.
const (
	quoteHost = "'%h'"
	nullFile  = "/dev/null"
)

// Command is the command line that runs program with these arguments, as ProxyCommand has it.
func Command(program string, args ...string) string {
	return escapePercent(shellescape.QuoteCommand(append([]string{program}, args...)))
}

// passwdHome is the home directory that ssh means by ~, whatever HOME says.
func passwdHome() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.HomeDir
}

// includeHome is the home directory that ssh means by ~ in an Include, as its glob has it.
func includeHome() string {
	if home, ok := os.LookupEnv("HOME"); ok {
		return home
	}
	return passwdHome()
}
