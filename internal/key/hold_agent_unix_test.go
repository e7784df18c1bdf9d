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
	socket, run := startAgent(t)
	plain := h.write("plain", nil, 0o600)
	if err := os.Rename(h.path("id"), plain); err != nil { // ssh-add adds no certificate of another name
		t.Fatal(err)
	}
	if out, err := run("ssh-add", "-q", "-c", plain); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a := FindAgent(socket)
	if _, err := a.Add(t.Context(), private, cert, "id", time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Count(t.Context()); n != 2 || err != nil {
		t.Errorf("it holds %d, %v", n, err)
	}
	if signs(a, signerOf(t, private).PublicKey()) {
		t.Error("the bare key signs without a confirmation")
	}
}

// TestHoldConstrainedCertificate: the user has given the certificate to ssh-agent, to be confirmed at
// each use and for an hour. It stays as it is, and no bare key is added that needs no confirmation.
func TestHoldConstrainedCertificate(t *testing.T) {
	for name, holds := range map[string]int{"with the key": 2, "without the key": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			private := h.key("id")
			cert := h.cert("id", private)
			socket, run := startAgent(t)
			if out, err := run("ssh-add", "-q", "-c", "-t", "3600", h.path("id")); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if holds == 1 {
				bare := h.write("bare.pub", line(signerOf(t, private).PublicKey(), ""), 0o600)
				if out, err := run("ssh-add", "-q", "-d", bare); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			a := FindAgent(socket)
			if added, err := a.Add(t.Context(), private, cert, "id", time.Now()); !added.Held || err != nil {
				t.Errorf("%+v, %v", added, err)
			}
			if n, err := a.Count(t.Context()); n != holds || err != nil {
				t.Errorf("it holds %d, %v", n, err)
			}
			for _, pub := range []ssh.PublicKey{signerOf(t, private).PublicKey(), cert} {
				if signs(a, pub) {
					t.Errorf("%s signs without a confirmation", pub.Type())
				}
			}
		})
	}
}

// startAgent starts an ssh-agent that confirms nothing. run runs a command that uses it.
func startAgent(t *testing.T) (socket string, run func(name string, args ...string) (string, error)) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	cmd.Env = append(os.Environ(), "SSH_ASKPASS=/bin/false", "SSH_ASKPASS_REQUIRE=force") // confirms nothing
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil { // it prints its address when it listens
		t.Fatal(err)
	}
	return socket, func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		cmd.Stdin = strings.NewReader("text")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// signs reports whether the agent signs with what it holds under that public key.
func signs(a Agent, pub ssh.PublicKey) bool {
	s := agentSigner{a, pub.Marshal(), pub}
	_, err := s.Sign(nil, []byte("text"))
	return err == nil
}

// TestHoldOtherRoles: certificates of the same key for other principals, by other authorities, with
// other options and extensions, or that end later stay in the agent; so do expired ones of other
// keys and authorities.
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
		{PrivateKey: key, Comment: "for one command", Certificate: h.cert("cscs-key", key, ends(time.Minute), func(c *ssh.Certificate) {
			c.CriticalOptions = map[string]string{"force-command": "/usr/bin/backup", "source-address": "10.0.0.0/8"}
		})},
		{PrivateKey: key, Comment: "without a terminal", Certificate: h.cert("cscs-key", key, ends(time.Minute), func(c *ssh.Certificate) {
			c.Extensions = map[string]string{"permit-port-forwarding": ""}
		})},
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
	if _, err := a.Add(t.Context(), key, cert, "new", time.Now()); err != nil {
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
