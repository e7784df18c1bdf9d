package demo

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
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
	return parseLsof(string(out), os.Getuid())
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
