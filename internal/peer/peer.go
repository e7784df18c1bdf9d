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

// ErrUnknown tells that nobody vouches for the other end.
var ErrUnknown = errors.New("not of this machine, as far as can be seen")

// UID asks the kernel.
func UID(from, to netip.AddrPort) (int, error) {
	for range tries {
		for s := range procnet.TCP() {
			// Only an established connection: one that its process has closed
			// belongs to root in the table.
			if s.Local == from && s.Remote == to && s.State == procnet.Established && s.Inode != "0" {
				return s.UID, nil
			}
		}
	}
	return 0, ErrUnknown
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
	wsl := getenv("WSL_DISTRO_NAME") != "" || getenv("WSL_INTEROP") != ""
	return uid == self || wsl && uid == 0
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
