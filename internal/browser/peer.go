package browser

import (
	"errors"
	"net/netip"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

// A peerFunc says which user made the socket at the other end of a connection
// on this machine, from its address to ours.
type peerFunc func(from, to netip.AddrPort) (uid int, err error)

// peerTries is how often the table is read: one reading may miss a socket
// while others come and go.
const peerTries = 3

var errNoPeer = errors.New("not of this machine, as far as can be seen")

// peerUID asks the kernel.
func peerUID(from, to netip.AddrPort) (int, error) {
	for range peerTries {
		for s := range procnet.TCP() {
			// Only an established connection: one that its process has closed
			// belongs to root in the table.
			if s.Local == from && s.Remote == to && s.State == procnet.Established && s.Inode != "0" {
				return s.UID, nil
			}
		}
	}
	return 0, errNoPeer
}
