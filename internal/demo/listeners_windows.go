package demo

import (
	"slices"
	"strconv"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// findListeners returns the listening sockets with the process of each. A socket is the user's if its
// process is.
func findListeners() []listener {
	var all []listener
	for _, s := range peer.TCPListeners() {
		l := listener{addr: s.Addr, mine: peer.IsOwnProcess(s.PID), id: strconv.FormatUint(uint64(s.PID), 10)}
		if !l.mine {
			l.owner = "of process " + l.id
		}
		all = append(all, l)
	}
	return all
}

// ofSession returns the listeners of the server's process.
func ofSession(all []listener, _ string, pid int) []listener {
	return slices.DeleteFunc(slices.Clone(all), func(l listener) bool { return l.id != strconv.Itoa(pid) })
}
