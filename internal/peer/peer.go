// Package peer tells whose process is at the other end of a connection on this machine. The kernel
// says so of a TCP connection on Linux, macOS and Windows, and of a unix socket on Linux and macOS.
package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"strconv"
)

// A Func says which user made the socket at the other end of a connection on this machine,
// from its address to ours.
type Func func(from, to netip.AddrPort) (uid int, err error)

var (
	// ErrUnknown tells that the system does not say whose the other end is.
	ErrUnknown = errors.New("not of this machine, as far as can be seen")
	// ErrNoProcess tells that no process of this machine has the other end: the kernel shows other
	// sockets. It shows neither end of a connection that the other end has reset.
	ErrNoProcess = errors.New("no process of this machine")
	// ErrStranger tells that the other end is another user's, where the system has no number for users.
	ErrStranger = errors.New("the other side of the socket is another user's")
)

// UID asks the kernel. The error is ErrUnknown, ErrNoProcess or ErrStranger. On Windows the
// number of this user is that of [os.Getuid], -1, and no other user has one.
func UID(from, to netip.AddrPort) (int, error) { return askKernel(from, to) }

// A Standing is what is known of the user at the other end of a connection.
type Standing int

const (
	// Unknown is a process whose user the system does not tell.
	Unknown Standing = iota
	// Relay is a process of root's, where this user is another. It proves no more than Unknown: it may carry
	// any user's bytes, as relays of WSL, containers and port forwarders do.
	Relay
	// Own is a process of this user's.
	Own
	// Stranger is a process of another user's, or none at all.
	Stranger
)

// Judge tells, of what a [Func] has said, how the user at the other end stands to self, this process's user.
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

// Of asks f for the user at the other end of a connection whose ends have these addresses.
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

// Judge asks f for the user at the other end, and judges the answer for self.
func (f Func) Judge(self int, remote, local net.Addr) Standing {
	uid, err := f.Of(remote, local)
	return Judge(self, uid, err)
}

// Name puts into words who asked, from what a [Func] has said.
func Name(uid int, err error) string {
	if err != nil {
		return fmt.Sprintf("someone (%v)", err)
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return "a process of user " + u.Username
	}
	return "a process of user " + strconv.Itoa(uid)
}
