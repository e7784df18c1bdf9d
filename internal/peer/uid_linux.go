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

// askKernel asks the kernel for this one socket (sock_diag(7)). If it gets no answer, it reads the
// kernel's tables (/proc/net/tcp).
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
		// The process has closed a socket without an inode. The kernel shows root as its user.
		return 0, ErrNoProcess
	}
	return s.uid, nil
}

// A socket is what the kernel reports of one socket.
type socket struct {
	uid   int
	inode uint32 // 0: no process has the socket any more
}

// tries is how often the tables are read. One reading may miss a socket while other sockets open and close.
const tries = 3

// readTables finds the socket from→to in the kernel's tables. The error is ErrNoProcess if they show
// only other sockets, or ErrUnknown if they show none.
func readTables(from, to netip.AddrPort, tables func() iter.Seq[procnet.Socket]) (socket, error) {
	seen := false
	for range tries {
		for s := range tables() {
			// In any state: a process that has shut down its direction (FIN_WAIT) still has the socket.
			if s.Local == from && s.Remote == to {
				if s.Inode == "0" {
					return socket{}, nil
				}
				return socket{uid: s.UID, inode: 1}, nil
			}
			seen = true // not our end: a reset by the client removes it too
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

// kernelRelease returns the kernel's release, as uname -r prints it. WSL's contains "microsoft".
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
