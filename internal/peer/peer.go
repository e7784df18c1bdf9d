// Package peer tells whose process is at the other end of a connection on this machine. Of a
// connection by TCP the kernel says so on Linux alone, of one by a unix socket on macOS too.
package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

// A Func says which user made the socket at the other end of a connection on this machine,
// from its address to ours.
type Func func(from, to netip.AddrPort) (uid int, err error)

// tries is how often the table is read: one reading may miss a socket while others come and
// go.
const tries = 3

var (
	// ErrUnknown tells that the system does not say whose the other end is.
	ErrUnknown = errors.New("not of this machine, as far as can be seen")
	// ErrNoProcess tells that no process of this machine has the other end: the kernel shows other
	// sockets. It shows neither end of a connection that the other end has reset.
	ErrNoProcess = errors.New("no process of this machine")
)

// UID asks the kernel. The error is ErrUnknown or ErrNoProcess.
func UID(from, to netip.AddrPort) (int, error) {
	seen := false // the table of sockets can be read
	for range tries {
		for s := range procnet.TCP() {
			// In any state: a process that has ended its half of the connection (FIN_WAIT)
			// has it still. A socket without an inode is one that its process has closed; it
			// belongs to root in the table.
			if s.Local == from && s.Remote == to && s.Inode != "0" {
				return s.UID, nil
			}
			seen = true
		}
	}
	if seen && !inWSL(os.Getenv) { // a browser on the Windows side has no socket here
		return 0, ErrNoProcess
	}
	return 0, ErrUnknown
}

// IsStranger reports, of what a [Func] has said, that the other end is not this user's. Where the
// system does not tell (ErrUnknown), it reports false.
func IsStranger(uid int, err error) bool {
	if err != nil {
		return errors.Is(err, ErrNoProcess)
	}
	return !Ours(uid)
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

// Ours tells whether a process of that user is this user's.
func Ours(uid int) bool { return allowed(uid, os.Getuid(), os.Getenv) }

// allowed tells whether a process of user uid counts as one of user self. Under WSL browsers
// are on the Windows side and come by way of a relay of root's; the Linux side has no users
// to be told apart there.
func allowed(uid, self int, getenv func(string) string) bool {
	return uid == self || uid == 0 && inWSL(getenv)
}

func inWSL(getenv func(string) string) bool {
	return getenv("WSL_DISTRO_NAME") != "" || getenv("WSL_INTEROP") != ""
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
