package bugreport

import (
	"context"
	"os/exec"
	"regexp"
	"time"
)

// sshVersion matches the part of the output of ssh -V that names the release, without what a vendor or user adds.
var sshVersion = regexp.MustCompile(`OpenSSH_(for_Windows_)?[0-9]+\.[0-9]+(p[0-9]+)?`)

// SSH returns the version of the ssh program, "other" for one that is no OpenSSH, or "none".
func SSH(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-V")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if len(out) == 0 && err != nil {
		return "none"
	}
	if v := sshVersion.Find(out); v != nil {
		return string(v)
	}
	return "other"
}
