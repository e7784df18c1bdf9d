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

// findHolder reads /proc. The kernel's socket table shows the user that has the port to every user.
// A process's files show which process it is, but only to its owner.
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

// holdsPort reports whether a socket listens on port of a loopback address or of all addresses.
func holdsPort(s procnet.Socket, port int) bool {
	if s.State != procnet.Listen || int(s.Local.Port()) != port {
		return false
	}
	a := s.Local.Addr()
	return a.IsUnspecified() || a == v4Loopback || a == netip.IPv6Loopback()
}

var v4Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// findProcess finds the process with this socket, if this user can read the process's files.
func findProcess(proc, inode string) (pid int, comm string, ok bool) {
	if inode == "0" { // the process has closed the socket
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

// userName returns the name of a user, or the number if the user has no name.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}
