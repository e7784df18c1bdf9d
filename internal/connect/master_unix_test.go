//go:build linux || darwin

package connect

import (
	"bytes"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestTellMaster: a session says once that an ssh of the user's carries it. A command that ends soon says
// nothing, nor does a session without such an ssh.
func TestTellMaster(t *testing.T) {
	file, line := sshKey(t)
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		t.Fatal(err)
	}
	signer := sshtest.NewKey(t)
	sshd := sshtest.StartSSHD(t, sshtest.SSHDConfig{Keys: []ssh.PublicKey{key, signer.PublicKey()}})
	socket := filepath.Join(sshtest.ShortDir(t), "m")
	logIn(t, sshd, file, socket)
	newRoute := func(socket string) *Route {
		return &Route{
			hosts: []site.Host{{Name: "daint", ControlPath: socket, ControlUser: sshd.User}},
			hops:  []chain.Hop{{Name: "daint", Addr: sshd.Addr, User: sshd.User, Signer: signer, HostKeys: chain.PinnedKeys(sshd.HostKeys...)}},
		}
	}
	warnings := func(r *Route) []string {
		t.Helper()
		c, err := r.DialAlone(t.Context(), chain.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		return r.TakeWarnings(map[string]bool{})
	}
	r := newRoute(socket)
	if said := warnings(r); len(said) != 1 || !strings.Contains(said[0], "daint") || !strings.Contains(said[0], "ssh") {
		t.Errorf("said %q", said)
	}
	r.tellMaster()
	if said := r.TakeWarnings(map[string]bool{}); len(said) != 1 {
		t.Errorf("said again: %q", said)
	}
	r = newRoute(socket)
	c, err := r.dialHops(t.Context(), chain.Options{}) // as DialAsClient does
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if said := r.TakeWarnings(map[string]bool{}); len(said) != 0 {
		t.Errorf("a command that ends soon says %q", said)
	}
	if said := warnings(newRoute(filepath.Join(t.TempDir(), "none"))); len(said) != 0 {
		t.Errorf("without an ssh: %q", said)
	}
}

// sshKey makes a key, and returns its file and the line of its public half.
func sshKey(t *testing.T) (file string, public []byte) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "k")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	public, err := exec.CommandContext(t.Context(), "ssh-keygen", "-y", "-f", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return file, public
}

// logIn has OpenSSH's ssh logged in with a control socket, until the test ends.
func logIn(t *testing.T, sshd *sshtest.SSHD, key, socket string) {
	t.Helper()
	host, port, err := net.SplitHostPort(sshd.Addr)
	if err != nil {
		t.Fatal(err)
	}
	// LocalCommand runs once it is logged in; the socket listens by then.
	cmd := exec.CommandContext(t.Context(), "ssh", "-F", "/dev/null", "-M", "-S", socket, "-N", "-i", key, "-l", sshd.User, "-p", port,
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo ready", host)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("%v: %s", err, &said)
	}
}
