package forward

import (
	"context"
	"os/exec"
	"strconv"
	"time"
)

const lsofTimeout = 2 * time.Second

// findHolder asks lsof, which macOS brings along. Without root it shows the
// processes of this user only.
func findHolder(ctx context.Context, port int) string {
	ctx, cancel := context.WithTimeout(ctx, lsofTimeout)
	defer cancel()
	// The path is spelled out because sbin is not on everyone's PATH.
	out, err := exec.CommandContext(ctx, "/usr/sbin/lsof",
		"-nP", "-w", "-iTCP:"+strconv.Itoa(port), "-sTCP:LISTEN", "-Fpc").Output()
	if err != nil {
		return ""
	}
	return parseLsof(string(out))
}
