package demo

import (
	"net/netip"
	"strconv"
	"strings"
)

// parseLsof returns the listeners in the output of `lsof -FpuLn` (lsof(8), OUTPUT FOR OTHER PROGRAMS). Each line
// is one field and begins with its letter. The fields of a process come before those of its sockets. uid is this
// user's.
func parseLsof(out string, uid int) []listener {
	var all []listener
	var of listener
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		switch value := line[1:]; line[0] {
		case 'p':
			of = listener{id: value}
		case 'u':
			of.mine = value == strconv.Itoa(uid)
		case 'L':
			of.owner = value
		case 'n':
			// "*:80" is IPv4 or IPv6. Both count as wide.
			if addr, err := netip.ParseAddrPort(strings.Replace(value, "*:", "0.0.0.0:", 1)); err == nil {
				l := of
				l.addr = addr
				all = append(all, l)
			}
		}
	}
	return all
}
