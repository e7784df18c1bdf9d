// Package sshconfig makes cscs part of ssh's own configuration: a file of ours, which one line
// at the top of ~/.ssh/config includes, and the known_hosts file that goes with it. So
// ssh, scp, rsync and whatever else reads ssh_config know the clusters by their short
// names, and a live session's node as cscs-ID.
//
// The rest of the user's file is not ours: it stays as it is, byte for byte.
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
	Name     string // as it is typed
	HostName string
	Port     int    // 0 or 22: ssh's default
	Jump     string // ProxyJump; "" is none
	Login

	// Own are the keywords that a block of the user's sets for that name: they are left to it. Ours
	// comes first, and of most keywords ssh takes the first value (ssh_config(5)).
	Own []string
}

// A Login is who we are somewhere. What is empty is left to the rest of ssh's configuration.
type Login struct {
	User        string
	Identity    string // the private key
	Certificate string // only if it is not where ssh looks for it

	// Only has ssh offer no other key. Without the file of the key, ssh would pass over the one
	// that an agent holds, too (ssh_config(5), IdentitiesOnly).
	Only bool
}

// Sessions is the block by which the nodes of live sessions are reached.
type Sessions struct {
	Proxy      string // the command line of the program that does it, without the host
	KnownHosts string // the file in which that writes the host keys, see [Known]
	Login

	Own []string // as in [Host]
}

// Prefix begins the names of sessions' nodes: cscs-ID.
const Prefix = "cscs-"

// NoUser stands where a User should, if nobody has said who that is.
const NoUser = "# User NAME"

// fileMarker begins every file of ours, and no other is overwritten or taken away.
const fileMarker = "# Written by cscs ssh-config"

const heading = fileMarker + `, which overwrites it. To change something, put it
# into a Host block of your own file: cscs ssh-config --install then leaves that
# host to you.
`

// Text is the file of ours. A value that cannot stand in ssh_config is an error.
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
	w.writeValue("Port", "22") // or the host's key would be looked for under another name
	w.writeOwnComments(sessions.Own)
	w.writeLogin(sessions.Login, sessions.Own)
	w.writeLine("ProxyCommand", sessions.Proxy+" "+quoteHost)
	w.writeLine("ProxyUseFdpass", "no") // of the user's "Host *": ours hands no descriptor over
	// ssh_config's HostKeyAlias knows no tokens; the name that is typed is the alias.
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

// writeValue writes a value, quoted if need be; an empty one is not written.
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

// writeOwnComments tells what is left to the user's own configuration.
func (w *writer) writeOwnComments(keywords []string) {
	for _, k := range keywords {
		w.writeLine("# "+k+":", "as your own configuration has it")
	}
}

// writeLogin writes what of it the user's own configuration does not set.
func (w *writer) writeLogin(l Login, own []string) {
	if !slices.Contains(own, "User") {
		w.writeUser(l.User)
	}
	// Of these ssh takes all, and would offer ours first.
	if !slices.Contains(own, "IdentityFile") && !slices.Contains(own, "CertificateFile") {
		w.writeIdentity(l)
	}
}

func (w *writer) writeUser(name string) {
	if name == "" {
		w.b.WriteString("    " + NoUser + "\n")
	}
	w.writeValue("User", name)
}

func (w *writer) writeIdentity(l Login) {
	w.writeValue("IdentityFile", escapePercent(l.Identity))
	cert := l.Certificate
	if cert == "" && l.Identity != "" {
		// Where ssh looks by itself, but not if a "Host *" of the user's has any CertificateFile.
		cert = strings.TrimSuffix(l.Identity, ".pub") + "-cert.pub"
	}
	w.writeValue("CertificateFile", escapePercent(cert))
	if l.Only {
		w.writeLine("IdentitiesOnly", "yes")
	}
}

// escapePercent makes each % stand for itself, where ssh expands tokens.
func escapePercent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// quoteArgument makes one argument of s. There is no way to write a quote or a line's end in
// ssh_config that every version of OpenSSH reads alike.
func quoteArgument(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r == '"' || unicode.IsControl(r) }) {
		return `""`, fmt.Errorf("%q cannot stand in ssh's configuration", s)
	}
	if strings.ContainsAny(s, " '#\\=") || s == "" {
		return `"` + s + `"`, nil
	}
	return s, nil
}
