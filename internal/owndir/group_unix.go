//go:build unix

package owndir

import (
	"bufio"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// isPrivate reports whether the group is the user's private group: the primary group, with the user's
// name and no other member. Many systems with such groups set umask 002, so the home directory and its
// files are writable by the group.
func isPrivate(gid int) bool {
	u, err := user.Current()
	if err != nil || u.Gid != strconv.Itoa(gid) {
		return false
	}
	f, err := os.Open("/etc/group")
	if err != nil {
		return u.Uid == u.Gid
	}
	defer f.Close()
	return hasAlone(f, u)
}

// hasAlone reports whether the user's primary group is private, by a table in the format of group(5). A
// group that is only in a directory service is private if its number is the user's. Such services
// number private groups like that.
func hasAlone(table io.Reader, u *user.User) bool {
	for s := bufio.NewScanner(table); s.Scan(); {
		f := strings.Split(strings.TrimSpace(s.Text()), ":")
		if len(f) == 4 && f[2] == u.Gid {
			return f[0] == u.Username && (f[3] == "" || f[3] == u.Username)
		}
	}
	return u.Uid == u.Gid
}
