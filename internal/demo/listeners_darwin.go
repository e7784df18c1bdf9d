package demo

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// findListeners runs lsof, which is part of macOS. It shows the user's processes only. A socket
// of another user is not seen, and nothing is forwarded to it.
func findListeners() []listener {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/sbin/lsof", "-nP", "-w", "-iTCP", "-sTCP:LISTEN", "-FpuLn").Output()
	if err != nil {
		return nil // lsof exits with 1 if there is none
	}
	var all []listener
	var of listener
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		switch value := line[1:]; line[0] {
		case 'p':
			of = listener{}
			of.id = value
		case 'u':
			of.mine = value == strconv.Itoa(os.Getuid())
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

// ofSession returns the listeners of the server's process group.
func ofSession(all []listener, _ string, group int) []listener {
	return slices.DeleteFunc(slices.Clone(all), func(l listener) bool {
		pid, err := strconv.Atoi(l.id)
		if err != nil {
			return true
		}
		pgid, err := syscall.Getpgid(pid)
		return err != nil || pgid != group
	})
}
