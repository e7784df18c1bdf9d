// Package peer reports which user's process is at the other end of a connection on this machine. The
// source is the kernel: for TCP on Linux, macOS and Windows, for unix sockets on Linux and macOS.
package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"strconv"
)

// A Func returns the user whose process has the other end of a TCP connection on this machine. from is
// the address of that end, to is ours.
type Func func(from, to netip.AddrPort) (uid int, err error)

var (
	// ErrUnknown reports that the system does not name the user.
	ErrUnknown = errors.New("not visible on this machine")
	// ErrNoProcess reports that no process of this machine has the other end, although the kernel shows
	// other sockets. After a reset from the other end, the kernel shows neither end.
	ErrNoProcess = errors.New("no process of this machine")
	// ErrStranger reports that the other end is another user's, on a system without user numbers.
	ErrStranger = errors.New("the other side of the socket is another user's")
)

// UID asks the kernel. The error is ErrUnknown, ErrNoProcess or ErrStranger. On Windows this user's
// number is -1, as for [os.Getuid], and other users have none.
func UID(from, to netip.AddrPort) (int, error) { return askKernel(from, to) }

// A Standing classifies the user at the other end of a connection.
type Standing int

const (
	// Unknown is a process whose user the system does not name.
	Unknown Standing = iota
	// Relay is a process of root's, if this user is not root. It proves no more than Unknown: relays of
	// WSL, containers and port forwarders carry the bytes of any user.
	Relay
	// Own is a process of this user's.
	Own
	// Stranger is a process of another user, or no process.
	Stranger
)

// Judge classifies the result of a [Func] for self, this process's user.
func Judge(self, uid int, err error) Standing {
	switch {
	case errors.Is(err, ErrNoProcess), errors.Is(err, ErrStranger):
		return Stranger
	case err != nil:
		return Unknown
	case uid == self:
		return Own
	case uid == Root:
		return Relay
	}
	return Stranger
}

// Of calls f for the connection with these addresses.
func (f Func) Of(remote, local net.Addr) (int, error) {
	from, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return 0, err
	}
	to, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return 0, err
	}
	return f(from, to)
}

// Judge calls f for the connection with these addresses and classifies the result for self.
func (f Func) Judge(self int, remote, local net.Addr) Standing {
	uid, err := f.Of(remote, local)
	return Judge(self, uid, err)
}

// Name describes the process at the other end, from the result of a [Func].
func Name(uid int, err error) string {
	if err != nil {
		return fmt.Sprintf("someone (%v)", err)
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return "a process of user " + u.Username
	}
	return "a process of user " + strconv.Itoa(uid)
}
