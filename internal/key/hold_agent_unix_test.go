//go:build unix

package key

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// TestHoldConstraints: the user has given the bare key to ssh-agent to be confirmed at each use.
// What is added does not change that.
func TestHoldConstraints(t *testing.T) {
	h := newHome(t)
	private := h.key("id")
	cert := h.cert("id", private)
	socket := filepath.Join(t.TempDir(), "agent")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	cmd.Env = append(os.Environ(), "SSH_ASKPASS=/bin/false", "SSH_ASKPASS_REQUIRE=force") // confirms nothing
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it prints its address when it listens
		t.Fatal(err)
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		cmd.Stdin = strings.NewReader("text")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	plain := h.write("plain", nil, 0o600)
	if err := os.Rename(h.path("id"), plain); err != nil { // ssh-add adds no certificate of another name
		t.Fatal(err)
	}
	if out, err := run("ssh-add", "-q", "-c", plain); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a := FindAgent(socket)
	if err := a.Add(t.Context(), private, cert, "id", time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("it holds %d, %v", n, err)
	}
	bare := agentSigner{a.addr, signerOf(t, private).PublicKey().Marshal(), signerOf(t, private).PublicKey()}
	if _, err := bare.Sign(nil, []byte("text")); err == nil {
		t.Error("the bare key signs without a confirmation")
	}
}

// TestHoldOtherRoles: certificates of the same key for other principals, by other authorities, or
// that end later stay in the agent; so do expired ones of other keys and authorities.
func TestHoldOtherRoles(t *testing.T) {
	h, other := newHome(t), newHome(t)
	key := h.key("cscs-key")
	role := func(principals ...string) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.ValidPrincipals = principals }
	}
	ends := func(in time.Duration) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(in).Unix()) }
	}
	private := other.key("work")
	stays := []agent.AddedKey{
		{PrivateKey: key, Comment: "another role", Certificate: h.cert("cscs-key", key, role("admin"), ends(time.Minute))},
		{PrivateKey: key, Comment: "more roles", Certificate: h.cert("cscs-key", key, role("alice", "admin"), ends(time.Minute))},
		{PrivateKey: key, Comment: "later", Certificate: h.cert("cscs-key", key, ends(48*time.Hour))},
		{PrivateKey: key, Comment: "another authority", Certificate: other.cert("cscs-key", key, ends(time.Minute))},
		{PrivateKey: key, Comment: "another authority, expired", Certificate: other.cert("cscs-key", key, expired)},
		{PrivateKey: private, Comment: "another key, expired", Certificate: other.cert("work", private, expired)},
	}
	goes := []agent.AddedKey{
		{PrivateKey: key, Comment: "earlier", Certificate: h.cert("cscs-key", key, ends(time.Minute))},
		{PrivateKey: key, Comment: "over", Certificate: h.cert("cscs-key", key, role("admin"), expired)},
	}
	socket, ring := newAgent(t, append(stays, goes...)...)
	a := FindAgent(socket)
	cert := h.cert("cscs-key", key, ends(time.Hour))
	if removed, err := a.RemoveExpired(t.Context(), cert, time.Now()); err != nil || len(removed) != 1 || removed[0] != "over" {
		t.Errorf("removed %q, %v", removed, err)
	}
	if err := a.Add(t.Context(), key, cert, "new", time.Now()); err != nil {
		t.Fatal(err)
	}
	held, err := ring.List()
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{}
	for _, k := range held {
		left[k.Comment]++
	}
	for _, k := range stays {
		if left[k.Comment] != 1 {
			t.Errorf("removed: %s", k.Comment)
		}
	}
	if left["earlier"] != 0 || left["new"] != 2 || len(held) != len(stays)+2 {
		t.Errorf("it holds %v", left)
	}
}
