//go:build unix

package doctor

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// agentThat listens where the patient looks for its agent.
func agentThat(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // t.TempDir's is too long for a socket on macOS
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	sshtest.Serve(t, l, serve)
	t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
}

// TestAgentHangs: it is told as such, before the check's time is up.
func TestAgentHangs(t *testing.T) {
	p := newPatient(t)
	agentThat(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 5)); _, _ = c.Read(make([]byte, 5)) })
	if r := p.want(t, "agent", Warning); !errors.Is(r.Err, key.ErrAgentHangs) {
		t.Errorf("%+v", r)
	}
}

// TestAgentLocked: it looks like an empty one, and may be one.
func TestAgentLocked(t *testing.T) {
	p := newPatient(t)
	ring := agent.NewKeyring()
	if err := ring.Lock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	agentThat(t, func(c net.Conn) { _ = agent.ServeAgent(ring, c) })
	p.want(t, "agent", OK, "locked", "ssh-add -X")
}
