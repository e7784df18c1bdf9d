//go:build lab

package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// The password "secret", as /etc/shadow has it.
const secretHash = "$6$cscslab$drpwWjjgZRuNhYdaNfjw21vMQIBA2rI/yNghZkl39A.Uz.hGZzmVzrfbhUR6QZMKZznmB4ybXtRRxwMBSufNH/"

// TestSecondFactor: the login node's sshd asks for a password of PAM's after the key. On a
// terminal it is typed, and is never shown; without one that is one clear line, and exit code 3.
func TestSecondFactor(t *testing.T) {
	begin(t)
	changed(t, "daint", "/etc/shadow", "alice:"+secretHash+":19000:0:99999:7:::")
	changed(t, "daint", "/etc/pam.d/sshd", "auth required pam_unix.so")
	sshdConfigured(t, "daint", "AuthenticationMethods publickey,keyboard-interactive:pam\nKbdInteractiveAuthentication yes")

	var status *exec.ExitError
	said, err := try(t, "alice", "laptop", lab.bin, "run", "--cluster", "daint", "--", "true")
	if !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Errorf("without a terminal: %v\n%s", err, said)
	}
	says(t, said, "daint accepted the key of alice and asks for a second factor")

	m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", lab.testserver, "127.0.0.1:{port}")
	m.expect(`\(alice@daint\) Password: `)
	m.send("wrong\r")
	m.expect(`\(alice@daint\) Password: `)
	m.send("secret\r")
	m.expect("ready: localhost")
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(m.stdout.String(), "secret") {
		t.Error("the password is on the screen")
	}
}
