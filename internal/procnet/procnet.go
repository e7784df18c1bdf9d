// Package procnet reads the tables of TCP sockets in Linux's /proc/net, which
// say to anyone whose each socket is. See proc_net_tcp in the kernel's
// documentation for their form.
package procnet

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"iter"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// A State is a TCP state by the kernel's number.
type State uint8

// The states that matter here (include/net/tcp_states.h).
const (
	Established State = 0x01
	Listen      State = 0x0A
)

// A Socket is one end of a connection, or a listener. An IPv4 address is shown
// as such even if the socket is an IPv6 one.
type Socket struct {
	Local, Remote netip.AddrPort
	State         State
	UID           int    // the user who made it; of no meaning without an inode
	Inode         string // "0" if no process has it any more
}

// TCP returns the sockets of this network namespace. Tables that cannot be
// read are left out.
//
// The kernel prints the tables piece by piece, so that a socket can be missed
// while others come and go.
func TCP() iter.Seq[Socket] {
	return func(yield func(Socket) bool) {
		for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			f, err := os.Open(name)
			if err != nil {
				continue
			}
			for s := range Read(f) {
				if !yield(s) {
					_ = f.Close()
					return
				}
			}
			_ = f.Close()
		}
	}
}

// Read returns the sockets of one table. Lines of another form, such as the
// heading, are left out.
func Read(table io.Reader) iter.Seq[Socket] {
	return func(yield func(Socket) bool) {
		for s := bufio.NewScanner(table); s.Scan(); {
			if sock, ok := parseSocket(s.Text()); ok && !yield(sock) {
				return
			}
		}
	}
}

func parseSocket(line string) (s Socket, ok bool) {
	const local, remote, state, uid, inode = 1, 2, 3, 7, 9
	f := strings.Fields(line)
	if len(f) <= inode {
		return s, false
	}
	if s.Local, ok = parseAddr(f[local]); !ok {
		return s, false
	}
	if s.Remote, ok = parseAddr(f[remote]); !ok {
		return s, false
	}
	st, err := strconv.ParseUint(f[state], 16, 8)
	if err != nil {
		return s, false
	}
	s.State = State(st)
	user, err := strconv.ParseUint(f[uid], 10, 32)
	if err != nil {
		return s, false
	}
	s.UID = int(user)
	s.Inode = f[inode]
	return s, true
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
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), ok
}
