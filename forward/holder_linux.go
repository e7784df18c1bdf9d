package forward

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// holder asks /proc: the kernel's table of sockets says which user has the
// port, to anyone; the files of a process say which process, to its owner.
func holder(_ context.Context, port int) string {
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		inode, uid, ok := findListener(f, port)
		_ = f.Close()
		if !ok {
			continue
		}
		owner := ""
		if uid != os.Getuid() {
			owner = userName(uid)
		}
		if pid, comm, ok := findProcess("/proc", inode); ok {
			return process(comm, pid, owner)
		}
		if owner == "" {
			owner = userName(uid)
		}
		return "a process of user " + owner
	}
	return ""
}

// findListener reads the form of /proc/net/tcp and /proc/net/tcp6
// (Documentation/networking/proc_net_tcp.rst) for a listening socket that
// keeps us from port: one on a loopback address or on all.
func findListener(table io.Reader, port int) (inode string, uid int, ok bool) {
	const (
		fieldLocal, fieldState, fieldUID, fieldInode = 1, 3, 7, 9
		listening                                    = "0A"
	)
	s := bufio.NewScanner(table)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) <= fieldInode || f[fieldState] != listening {
			continue
		}
		addr, ok := parseAddr(f[fieldLocal])
		if !ok || int(addr.Port()) != port {
			continue
		}
		if a := addr.Addr().Unmap(); !a.IsLoopback() && !a.IsUnspecified() {
			continue
		}
		uid, err := strconv.Atoi(f[fieldUID])
		if err != nil {
			continue
		}
		return f[fieldInode], uid, true
	}
	return "", 0, false
}

// parseAddr reads an address as the kernel prints it: each 32-bit word of it
// in the machine's own byte order, and the port.
func parseAddr(s string) (netip.AddrPort, bool) {
	h, p, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	port, err := strconv.ParseUint(p, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	b, err := hex.DecodeString(h)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, uint16(port)), ok
}

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
