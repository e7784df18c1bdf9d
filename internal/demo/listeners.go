package demo

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A listener is a listening TCP socket on this machine.
type listener struct {
	addr  netip.AddrPort
	mine  bool   // a process of this user has it
	owner string // the owner, if not mine
	id    string // tells it from a later socket at the same address: the inode or, without one, the process
}

// A verdict is the judgement of what listens on a port, as in slurm/remote/10-listeners.sh.
type verdict struct {
	kind  string // none, ours, wide, foreign
	addr  string // to forward to
	bound string
	owner string
	id    string
}

// classifyPort returns the verdict on a port.
func classifyPort(all []listener, port int) verdict {
	v := verdict{kind: "none"}
	for _, l := range all {
		a := l.addr.Addr().Unmap()
		switch {
		case int(l.addr.Port()) != port:
		case !l.mine:
			if v.kind == "none" {
				v = verdict{kind: "foreign", owner: l.owner}
			}
		case !a.IsLoopback():
			to := a
			if a == netip.IPv4Unspecified() {
				to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
			} else if a.IsUnspecified() {
				to = netip.IPv6Loopback()
			}
			return verdict{kind: "wide", addr: to.String(), bound: a.String(), id: l.id + l.addr.String()}
		case v.kind != "ours":
			v = verdict{kind: "ours", addr: a.String(), bound: a.String(), id: l.id + l.addr.String()}
		}
	}
	return v
}

// watchPort answers the verb look: what listens on a port, and on each port the client asks about.
func (k *call) watchPort() {
	defer k.startLineReader()()
	tell := func(port int, v verdict, more ...string) {
		k.writeLine("listener", append([]string{"verdict=" + v.kind, "addr=" + v.addr, "bound=" + v.bound, "owner=" + v.owner, "port=" + strconv.Itoa(port)}, more...)...)
	}
	s, port := k.findSession(), k.Int("port")
	tick := time.NewTicker(max(time.Duration(k.Int("every"))*time.Second, time.Second))
	defer tick.Stop()
	var said verdict
	for {
		all := findListeners()
		if v := classifyPort(all, port); v != said {
			said = v
			tell(port, v)
		}
		var ended <-chan struct{}
		if s != nil {
			s.mu.Lock()
			removed, changed := s.removed, s.changed
			s.mu.Unlock()
			if removed {
				return
			}
			ended = changed
		}
		select {
		case <-tick.C:
		case <-ended:
		case line, ok := <-k.lines:
			if !ok {
				return
			}
			// One check answers all lines that have arrived.
			lines := []string{line}
			for more := true; more; {
				select {
				case l, ok := <-k.lines:
					if more = ok; ok {
						lines = append(lines, l)
					}
				default:
					more = false
				}
			}
			all := findListeners()
			for _, line := range lines {
				if number, at, ok := parseLookLine(line); ok {
					tell(at, classifyPort(all, at), "look="+number)
				}
			}
		}
	}
}

// parseLookLine parses a line "NUMBER PORT" of the verb look.
func parseLookLine(line string) (number string, port int, ok bool) {
	number, p, ok := strings.Cut(line, " ")
	port, err := strconv.Atoi(p)
	return number, port, ok && err == nil
}
