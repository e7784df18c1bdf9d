//go:build lab

package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

// sshLoggedIn has alice's own ssh logged in at daint with a control socket, and her ssh
// configuration name it, for the length of the test. end ends that ssh.
func sshLoggedIn(t *testing.T) (end func()) {
	t.Helper()
	put(t, laptopHome(".ssh/config"), `Host ela
    HostName ela.cscs.ch
Host daint
    HostName daint.alps.cscs.ch
    ProxyJump ela
Host ela daint
    User alice
    IdentityFile ~/.ssh/cscs-key
    ControlPath ~/.ssh/control-%C
    UpdateHostKeys no
`, 0o600)
	output(t, "alice", "laptop", "sh", "-c", "ssh -MNf daint </dev/null >/dev/null 2>&1")
	end = func() { _, _ = try(t, "alice", "laptop", "ssh", "-O", "exit", "daint") }
	t.Cleanup(end)
	sshLives(t)
	// The sshd of the session forks once more after the login: a command runs below that.
	_, _ = try(t, "alice", "laptop", "ssh", "daint", "true")
	return end
}

// sshLives fails the test unless that ssh is there.
func sshLives(t *testing.T) {
	t.Helper()
	if said, err := try(t, "alice", "laptop", "ssh", "-O", "check", "daint"); err != nil {
		t.Errorf("the user's ssh is gone: %v, %s", err, said)
	}
}

// withoutKey takes alice's key and certificate away for the length of the test.
func withoutKey(t *testing.T) {
	t.Helper()
	for _, suffix := range []string{"", ".pub", "-cert.pub"} {
		file := laptopHome(".ssh/cscs-key" + suffix)
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Rename(file+".away", file) })
	}
}

// TestMaster: with an ssh of the user's logged in, a session needs no login of its own and, without
// reaching the node by ssh, no key. Its end leaves that ssh alone; once that has gone, cscs logs in
// itself.
func TestMaster(t *testing.T) {
	begin(t)
	end := sshLoggedIn(t)
	logins := loginsAtEla()
	served := func(t *testing.T) {
		s := serve(t, nil)
		e := s.ready()
		if code, _ := get(t, e.URL); code != http.StatusOK {
			t.Errorf("the server: %d", code)
		}
		if now := loginsAtEla(); now != logins {
			t.Errorf("%d logins at ela, were %d", now, logins)
		}
		closeReady(t, s)
		sshLives(t)
	}
	t.Run("with a key", served)
	withoutKey(t)
	t.Run("without a key", served)
	end()
	said, err := try(t, "alice", "laptop", lab.bin, "run", "--cluster", "daint", "--", "true")
	if err == nil || !strings.Contains(said, "find a key") {
		t.Errorf("without both: %v, %s", err, said)
	}
}

// TestMasterEnds: the user's ssh ends during a session, which dials anew as usual.
func TestMasterEnds(t *testing.T) {
	begin(t)
	end := sshLoggedIn(t)
	s := serve(t, nil)
	e := s.ready()
	end()
	s.wait("restored")
	if code, _ := get(t, e.URL); code != http.StatusOK {
		t.Errorf("the server: %d", code)
	}
	closeReady(t, s)
}
