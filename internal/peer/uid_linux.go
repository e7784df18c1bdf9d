package peer

import (
	"errors"
	"iter"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

// askKernel asks the kernel for the very socket (sock_diag(7)) and, where it does not answer that, reads its
// tables (/proc/net/tcp).
func askKernel(from, to netip.AddrPort) (int, error) {
	s, err := findSocket(from, to)
	if err != nil {
		s, err = readTables(from, to, procnet.TCP)
	}
	switch {
	case errors.Is(err, ErrNoProcess) && isWSL(os.Getenv, kernelRelease()):
		return 0, ErrUnknown // a program on the Windows side has no socket here
	case err != nil:
		return 0, err
	case s.inode == 0:
		// A socket without an inode is one that its process has closed; the kernel shows root as its user.
		return 0, ErrNoProcess
	}
	return s.uid, nil
}

// A socket is what the kernel says of one.
type socket struct {
	uid   int
	inode uint32 // 0: no process has it any more
}

// tries is how often the tables are read: one reading may miss a socket while others come and
// go.
const tries = 3

// readTables looks for the socket from→to in the kernel's tables. The error is ErrNoProcess if they show
// other sockets alone, and ErrUnknown if they show none.
func readTables(from, to netip.AddrPort, tables func() iter.Seq[procnet.Socket]) (socket, error) {
	seen := false
	for range tries {
		for s := range tables() {
			// In any state: a process that has ended its half of the connection (FIN_WAIT)
			// has it still.
			if s.Local == from && s.Remote == to {
				if s.Inode == "0" {
					return socket{}, nil
				}
				return socket{uid: s.UID, inode: 1}, nil
			}
			seen = true // a client that has reset the connection has taken our end away, too
		}
	}
	if seen {
		return socket{}, ErrNoProcess
	}
	return socket{}, ErrUnknown
}

// isWSL reports whether this is the Windows Subsystem for Linux.
func isWSL(getenv func(string) string, release string) bool {
	return getenv("WSL_DISTRO_NAME") != "" || getenv("WSL_INTEROP") != "" || strings.Contains(strings.ToLower(release), "microsoft")
}

// kernelRelease is the kernel's, as uname -r prints it; WSL's has Microsoft in it.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
