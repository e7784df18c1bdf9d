//go:build unix

package doctor

import (
	"crypto/ed25519"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// agentThat listens where the patient looks for its agent.
func agentThat(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", sshtest.ServeUnix(t, serve))
}

// TestAgentHangs: it is told as such, before the check's time is up.
func TestAgentHangs(t *testing.T) {
	p := newPatient(t)
	agentThat(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 5)); _, _ = c.Read(make([]byte, 5)) })
	if r := p.want(t, "agent", Warning); !errors.Is(r.Err, key.ErrAgentHangs) {
		t.Errorf("%+v", r)
	}
}

// TestAgentLocked: it looks like an empty one, and may be one. Where the key could be in it, that is told.
func TestAgentLocked(t *testing.T) {
	p := newPatient(t)
	socket := sshAgent(t)
	for _, locked := range []bool{true, false} {
		if locked {
			lock(t, socket, true)
		}
		p.way.KeyErr = nil
		p.want(t, "agent", OK, "locked", "ssh-add -X")
		shut := &key.PassphraseError{Path: "k", Fix: "cscs key agent", Err: key.ErrNoTerminal}
		p.way.KeyErr = shut
		status := OK
		if locked {
			status = Warning
		}
		p.want(t, "agent", status, "holds")
		r := p.want(t, "key", Warning)
		var told *ShutKeyError
		if !errors.As(r.Err, &told) || told.Locked != locked {
			t.Errorf("locked: %v, told %+v", locked, r.Err)
		}
		if locked {
			lock(t, socket, false)
		}
	}
}

// sshAgent is OpenSSH's own, empty.
func sshAgent(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(sshtest.ShortDir(t), "s")
	out, err := exec.CommandContext(t.Context(), "ssh-agent", "-s", "-a", socket).Output() // it returns when another process of it listens
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(out), "SSH_AGENT_PID=")
	text, _, _ = strings.Cut(text, ";")
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGTERM) })
	t.Setenv("SSH_AUTH_SOCK", socket)
	return socket
}

// lock locks an agent, or unlocks it.
func lock(t *testing.T, socket string, locked bool) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client := agent.NewClient(c)
	do := client.Unlock
	if locked {
		do = client.Lock
	}
	if err := do([]byte("x")); err != nil {
		t.Fatal(err)
	}
}

// TestManyKeys: they are of no harm where ssh shows none but the chosen; what the agent alone has
// of the chosen is told.
func TestManyKeys(t *testing.T) {
	p := newPatient(t)
	ring := agent.NewKeyring()
	for range 7 {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
	}
	agentThat(t, func(c net.Conn) { _ = agent.ServeAgent(ring, c) })
	only := func() int {
		var many *ManyKeysError
		if r := p.want(t, "agent", Warning, "has 7 "); !errors.As(r.Err, &many) {
			t.Errorf("got %v", r.Err)
			return -1
		}
		return len(many.Only)
	}
	if n := only(); n != 0 {
		t.Errorf("%d", n)
	}
	p.way.Keys[0].Agent = true // and has a file
	if n := only(); n != 0 {
		t.Errorf("%d", n)
	}
	p.way.Keys[0].Path = ""
	if n := only(); n != 2 { // the key and its certificate
		t.Errorf("%d", n)
	}
	p.way.Hosts[0].IdentitiesOnly = true
	only()
	p.way.Hosts[1].IdentitiesOnly = true
	p.want(t, "agent", OK, "has 7 ", "IdentitiesOnly")
}
