package forward

import (
	"context"
	"os/exec"
	"strconv"
	"time"
)

const lsofTimeout = 2 * time.Second

// findHolder runs macOS's lsof. Without root, lsof shows this user's processes only.
func findHolder(ctx context.Context, port int) string {
	ctx, cancel := context.WithTimeout(ctx, lsofTimeout)
	defer cancel()
	// The path is absolute because /usr/sbin may be missing from PATH.
	out, err := exec.CommandContext(ctx, "/usr/sbin/lsof",
		"-nP", "-w", "-iTCP:"+strconv.Itoa(port), "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return ""
	}
	return parseLsof(string(out))
}
