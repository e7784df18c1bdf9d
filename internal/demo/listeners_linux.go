package demo

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

// findListeners returns the listening sockets with their owners, which the kernel shows to every
// user (proc(5), /proc/net/tcp).
func findListeners() []listener {
	var all []listener
	for s := range procnet.TCP() {
		if s.State != procnet.Listen {
			continue
		}
		l := listener{addr: s.Local, mine: s.UID == os.Getuid(), id: s.Inode}
		if !l.mine {
			l.owner = strconv.Itoa(s.UID)
			if u, err := user.LookupId(l.owner); err == nil {
				l.owner = u.Username
			}
		}
		all = append(all, l)
	}
	return all
}

// ofSession returns the listeners of processes with the session's mark in their environment.
func ofSession(all []listener, mark string, _ int) []listener {
	inodes := map[string]bool{}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range environs {
		text, err := os.ReadFile(f)
		if err != nil || !slices.Contains(strings.Split(string(text), "\x00"), mark) {
			continue
		}
		fds, _ := filepath.Glob(filepath.Join(filepath.Dir(f), "fd", "*"))
		for _, fd := range fds {
			link, _ := os.Readlink(fd)
			if inode, ok := strings.CutPrefix(link, "socket:["); ok {
				inodes[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(l listener) bool { return !inodes[l.id] })
}
