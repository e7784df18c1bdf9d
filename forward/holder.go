package forward

import (
	"context"
	"strconv"
	"strings"
	"unicode"
)

// Holder describes the process that listens on a local port, such as "jupyter-lab (pid 4711)" or "a
// process of user bob"; "" if the system does not show it. On macOS it runs lsof, for at most 2 s.
func Holder(ctx context.Context, port int) string { return findHolder(ctx, port) }

// describeProcess describes a process in words. A process chooses its own name, and it may belong
// to another user, so characters that do not print are replaced.
func describeProcess(name string, pid int, user string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(name))
	if name == "" {
		name = "a process"
	}
	s := name + " (pid " + strconv.Itoa(pid)
	if user != "" {
		s += ", user " + user
	}
	return s + ")"
}
