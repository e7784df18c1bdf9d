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

// isPrivate reports whether the group is the user's own: the primary group, which has the user's
// name, and no other member. With such groups, useradd sets a umask of 002 on many systems, and the
// home directory and what is in it are writable by the group.
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

// hasAlone reports whether the user's primary group is private, by a table in the form of group(5). A
// group that only a directory service knows is private if its number is the user's, as such
// services number private groups.
func hasAlone(table io.Reader, u *user.User) bool {
	for s := bufio.NewScanner(table); s.Scan(); {
		f := strings.Split(strings.TrimSpace(s.Text()), ":")
		if len(f) == 4 && f[2] == u.Gid {
			return f[0] == u.Username && (f[3] == "" || f[3] == u.Username)
		}
	}
	return u.Uid == u.Gid
}
