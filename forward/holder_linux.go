package forward

import (
	"context"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

// findHolder asks /proc: the kernel's table of sockets says which user has the
// port, to anyone; the files of a process say which process, to its owner.
func findHolder(_ context.Context, port int) string {
	for s := range procnet.TCP() {
		if !holdsPort(s, port) {
			continue
		}
		owner := ""
		if s.UID != os.Getuid() {
			owner = userName(s.UID)
		}
		if pid, comm, ok := findProcess("/proc", s.Inode); ok {
			return describeProcess(comm, pid, owner)
		}
		return "a process of user " + userName(s.UID)
	}
	return ""
}

// holdsPort tells whether a socket keeps us from port: it listens there on one of
// our addresses or on all.
func holdsPort(s procnet.Socket, port int) bool {
	if s.State != procnet.Listen || int(s.Local.Port()) != port {
		return false
	}
	a := s.Local.Addr()
	return a.IsUnspecified() || a == v4Loopback || a == netip.IPv6Loopback()
}

var v4Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// findProcess looks for the process that has a socket open, among those whose
// files we may see.
func findProcess(proc, inode string) (pid int, comm string, ok bool) {
	if inode == "0" { // a socket that no process has any more
		return 0, "", false
	}
	want := "socket:[" + inode + "]"
	fds, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err != nil || link != want {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		b, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return pid, string(b), true
	}
	return 0, "", false
}

// userName is the user's name, or its number where that has none.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
