// Package sshconfig adds cscs to ssh's own configuration. It writes a file, which a marked block at the
// top of ~/.ssh/config includes, and a known_hosts file for it. So ssh, scp, rsync and all programs that
// read ssh_config know the clusters by their short names, and the node of a live session as cscs-ID.
//
// It keeps the rest of the user's file byte for byte. It runs ssh only to learn whether ssh accepts a
// file and which files it includes. The settings for a host are read by the package site.
package sshconfig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A Host is one Host block.
type Host struct {
	Name     string // the name that the user types
	HostName string
	Port     int    // 0 or 22: ssh's default
	Jump     string // ProxyJump; "" for none
	Login

	// Own are the keywords that a block of the user's sets for the name. We leave them out: our block
	// comes first, and ssh takes the first value of most keywords (ssh_config(5)).
	Own []string
}

// A Login is a user and a key. Empty fields are left to the rest of ssh's configuration.
type Login struct {
	User        string
	Identity    string // the private key
	Certificate string // only if ssh would not look there

	// Only makes ssh offer no other key. It needs the key's file: without that, ssh would ignore the
	// key in the agent too (ssh_config(5), IdentitiesOnly).
	Only bool
}

// Sessions is the block for the nodes of live sessions.
type Sessions struct {
	Proxy      string // the command line of the proxy program, without the host
	KnownHosts string // the file in which the proxy writes the host keys, see [Known]
	Login

	Own []string // as in [Host]
}

// Prefix begins the names of the nodes of sessions: cscs-ID.
const Prefix = "cscs-"

// NoUser replaces a User that is not known.
const NoUser = "# User NAME"

// fileMarker begins our file. A file without it is neither overwritten nor removed.
const fileMarker = "# Written by cscs ssh-config"

const heading = fileMarker + `, which overwrites it. To change something, put it
# into a Host block of your own file: cscs ssh-config --install then leaves that
# host to you.
`

// Text returns the content of our file. A value that ssh_config cannot express is an error.
func Text(hosts []Host, own []string, sessions Sessions) (string, error) {
	w := writer{}
	w.b.WriteString(heading)
	for _, n := range own {
		fmt.Fprintf(&w.b, "\n# %s: as your own configuration has it\n", n)
	}
	for _, h := range hosts {
		w.beginBlock("Host", h.Name)
		w.writeValue("HostName", h.HostName)
		w.writeOwnComments(h.Own)
		if !slices.Contains(h.Own, "Port") && h.Port != 0 && h.Port != 22 {
			w.writeValue("Port", strconv.Itoa(h.Port))
		}
		w.writeLogin(h.Login, h.Own)
		w.writeValue("ProxyJump", h.Jump)
	}
	w.beginBlock("# The node of a live session, by its ID or the beginning of it: cscs ps tells them.\nHost", Prefix+"*")
	w.writeValue("Port", "22") // under another port ssh would look for the host key under another name
	w.writeOwnComments(sessions.Own)
	w.writeLogin(sessions.Login, sessions.Own)
	w.writeLine("ProxyCommand", sessions.Proxy+" "+quoteHost)
	w.writeLine("ProxyUseFdpass", "no") // against a "Host *" of the user's: the proxy passes no descriptor
	// HostKeyAlias expands no tokens (ssh_config(5)), so the host keys have the name that the user types.
	w.writeValue("UserKnownHostsFile", escapePercent(sessions.KnownHosts))
	w.writeLine("GlobalKnownHostsFile", nullFile)
	w.writeLine("StrictHostKeyChecking", "yes")
	return w.b.String(), w.err
}

// A writer writes ssh_config(5).
type writer struct {
	b   strings.Builder
	err error
}

func (w *writer) beginBlock(word, name string) { fmt.Fprintf(&w.b, "\n%s %s\n", word, name) }

func (w *writer) writeLine(key, value string) { fmt.Fprintf(&w.b, "    %s %s\n", key, value) }

// writeValue writes a value, quoted if needed, unless it is empty.
func (w *writer) writeValue(key, value string) {
	if value == "" {
		return
	}
	q, err := quoteArgument(value)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", key, err)
	}
	w.writeLine(key, q)
}

// writeOwnComments lists the keywords that are left to the user's own configuration.
func (w *writer) writeOwnComments(keywords []string) {
	for _, k := range keywords {
		w.writeLine("# "+k+":", "as your own configuration has it")
	}
}

// writeLogin writes the keywords that the user's own configuration does not set.
func (w *writer) writeLogin(l Login, own []string) {
	switch {
	case slices.Contains(own, "User"):
	case l.User == "":
		w.b.WriteString("    " + NoUser + "\n")
	default:
		w.writeValue("User", l.User)
	}
	// ssh uses all values of these keywords, and would offer ours first.
	if slices.Contains(own, "IdentityFile") || slices.Contains(own, "CertificateFile") {
		return
	}
	w.writeValue("IdentityFile", escapePercent(l.Identity))
	cert := l.Certificate
	if cert == "" && l.Identity != "" {
		// ssh looks there itself, unless a "Host *" of the user's sets a CertificateFile.
		cert = strings.TrimSuffix(l.Identity, ".pub") + "-cert.pub"
	}
	w.writeValue("CertificateFile", escapePercent(cert))
	if l.Only {
		w.writeLine("IdentitiesOnly", "yes")
	}
}

// escapePercent escapes each % against ssh's expansion of tokens.
func escapePercent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// quoteArgument makes one argument of s. It refuses quotes and control characters, since versions of
// OpenSSH differ in how they read an escape.
func quoteArgument(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r == '"' || unicode.IsControl(r) }) {
		return `""`, fmt.Errorf("%q cannot stand in ssh's configuration", s)
	}
	if strings.ContainsAny(s, " '#\\=") || s == "" {
		return `"` + s + `"`, nil
	}
	return s, nil
}
