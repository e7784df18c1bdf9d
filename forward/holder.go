package forward

import (
	"context"
	"strconv"
	"strings"
	"unicode"
)

// Holder says in words who listens on a local port, such as "jupyter-lab (pid
// 4711)" or "a process of user bob", or "" if that cannot be seen. Where it
// takes another program to find out (lsof on macOS), that has 2 s.
func Holder(ctx context.Context, port int) string { return findHolder(ctx, port) }

// describeProcess puts a process into words. The name is the process's own choice and
// may be anyone's, so nothing in it reaches a terminal that is not print.
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
