package peer

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Layouts of sock_diag(7) and linux/inet_diag.h: struct inet_diag_req_v2 and inet_diag_msg. Both have a
// struct inet_diag_sockid: two ports, two addresses, an interface, a cookie.
const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY, linux/sock_diag.h

	diagRequestSize = 56
	diagMessageSize = 72
	requestID       = 8 // offset of the sockid
	messageID       = 4
	idPorts         = 0
	idAddresses     = 4
	idCookie        = 40
	messageUID      = 64
	messageInode    = 68

	stateListen = 10 // TCP_LISTEN
)

// errNoAnswer reports that the kernel does not answer, or knows no such socket.
var errNoAnswer = errors.New("no answer of sock_diag")

// findSocket asks the kernel for one TCP socket by its two addresses. The cost does not depend on the
// number of sockets, unlike that of the tables in /proc, which are as long as the kernel's hash table.
//
// An unknown socket is an error too: the kernel gives the same answer without the module tcp_diag.
func findSocket(from, to netip.AddrPort) (socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return socket{}, err
	}
	defer func() { _ = unix.Close(fd) }()
	// The kernel answers within the sending call, but a sandbox might not.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return socket{}, err
	}
	if err := unix.Sendto(fd, diagRequest(from, to), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return socket{}, err
	}
	answer := make([]byte, 4096)
	n, sender, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return socket{}, err
	}
	if kernel, ok := sender.(*unix.SockaddrNetlink); !ok || kernel.Pid != 0 {
		return socket{}, errNoAnswer
	}
	return readDiag(answer[:n], from, to)
}

// diagRequest returns a request for the socket with these addresses only (without NLM_F_DUMP).
func diagRequest(from, to netip.AddrPort) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	ne := binary.NativeEndian
	ne.PutUint32(b, uint32(len(b)))
	ne.PutUint16(b[4:], sockDiagByFamily)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST)
	r := b[unix.SizeofNlMsghdr:]
	r[0] = unix.AF_INET
	if from.Addr().Is6() {
		r[0] = unix.AF_INET6
	}
	r[1] = unix.IPPROTO_TCP
	ne.PutUint32(r[4:], 1<<32-1) // in any state
	id := r[requestID:]
	putID(id, from, to)
	for i := range 8 { // INET_DIAG_NOCOOKIE
		id[idCookie+i] = 0xff
	}
	return b
}

// putID writes ports and addresses in network byte order.
func putID(id []byte, from, to netip.AddrPort) {
	binary.BigEndian.PutUint16(id[idPorts:], from.Port())
	binary.BigEndian.PutUint16(id[idPorts+2:], to.Port())
	copy(id[idAddresses:], from.Addr().AsSlice())
	copy(id[idAddresses+16:], to.Addr().AsSlice())
}

// readDiag parses the answer. If no connection has these addresses, the kernel may return the listener
// at the first one.
func readDiag(b []byte, from, to netip.AddrPort) (socket, error) {
	ne := binary.NativeEndian
	if len(b) < unix.SizeofNlMsghdr+diagMessageSize || ne.Uint16(b[4:]) != sockDiagByFamily {
		return socket{}, errNoAnswer
	}
	m := b[unix.SizeofNlMsghdr:]
	want := make([]byte, idAddresses+32)
	putID(want, from, to)
	if m[1] == stateListen || string(m[messageID:messageID+idAddresses]) != string(want[:idAddresses]) {
		return socket{}, errNoAnswer
	}
	return socket{uid: int(ne.Uint32(m[messageUID:])), inode: ne.Uint32(m[messageInode:])}, nil
}
