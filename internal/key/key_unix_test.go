//go:build unix

package key

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// newAgent serves a keyring on a socket.
func newAgent(t *testing.T, keys ...agent.AddedKey) (socket string, ring agent.Agent) {
	t.Helper()
	ring = agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	return sshtest.ServeUnix(t, func(conn net.Conn) { _ = agent.ServeAgent(ring, conn) }), ring
}

func TestAgent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(h *home, from *Source) []agent.AddedKey
		check func(t *testing.T, h *home, id *Identity, err error)
	}{
		{"an encrypted key that it holds is not asked for", func(h *home, _ *Source) []agent.AddedKey {
			key := h.encrypted("cscs-key")
			h.cert("cscs-key", key)
			return []agent.AddedKey{{PrivateKey: h.key("id_rsa")}, {PrivateKey: key}}
		}, func(t *testing.T, h *home, id *Identity, err error) {
			if err != nil || !id.Agent || id.Path != h.path("cscs-key") || id.Cert == nil || id.CertPath == "" {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
		{"a certificate that it alone has", func(h *home, from *Source) []agent.AddedKey {
			key := h.encrypted("cscs-key")
			cert := h.cert("cscs-key", key)
			_ = os.Remove(h.path("cscs-key-cert.pub"))
			return []agent.AddedKey{{PrivateKey: h.key("other")}, {PrivateKey: key}, {PrivateKey: key, Certificate: cert}}
		}, func(t *testing.T, h *home, id *Identity, err error) {
			if err != nil || !id.Agent || id.Path != h.path("cscs-key") || id.Cert == nil || id.CertPath != "" {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
		{"a newer certificate than the file's", func(h *home, from *Source) []agent.AddedKey {
			key := h.key("cscs-key")
			cert := h.cert("cscs-key", key)
			h.cert("cscs-key", key, expired)
			return []agent.AddedKey{{PrivateKey: key, Certificate: cert}}
		}, func(t *testing.T, h *home, id *Identity, err error) {
			if err != nil || id.Cert == nil || id.CertPath != "" || id.Agent {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
		{"no files, several keys, one certificate", func(h *home, _ *Source) []agent.AddedKey {
			key := h.key("a")
			cert := h.cert("a", key)
			old := h.key("b")
			return []agent.AddedKey{
				{PrivateKey: h.key("c")}, {PrivateKey: old, Certificate: h.cert("b", old, expired)},
				{PrivateKey: key, Certificate: cert, Comment: "cscs"},
			}
		}, func(t *testing.T, _ *home, id *Identity, err error) {
			if err != nil || !id.Agent || id.Path != "" || id.Cert == nil || id.Principal() != "alice" || id.Comment != "cscs" {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
		{"its certificate has expired", func(h *home, _ *Source) []agent.AddedKey {
			key := h.key("a")
			return []agent.AddedKey{{PrivateKey: key, Certificate: h.cert("a", key, expired)}}
		}, func(t *testing.T, _ *home, _ *Identity, err error) {
			if !is[*ExpiredError](err) {
				t.Fatal(err)
			}
		}},
		{"IdentitiesOnly", func(h *home, from *Source) []agent.AddedKey {
			from.IdentitiesOnly = true
			key := h.key("a")
			return []agent.AddedKey{{PrivateKey: key, Certificate: h.cert("a", key)}}
		}, func(t *testing.T, _ *home, _ *Identity, err error) {
			if !is[*MissingError](err) {
				t.Fatal(err)
			}
		}},
		{"its only key", func(h *home, _ *Source) []agent.AddedKey {
			return []agent.AddedKey{{PrivateKey: h.key("a")}}
		}, func(t *testing.T, _ *home, id *Identity, err error) {
			if err != nil || !id.Agent {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
		{"one of several keys: none", func(h *home, _ *Source) []agent.AddedKey {
			return []agent.AddedKey{{PrivateKey: h.key("a")}, {PrivateKey: h.key("b")}}
		}, func(t *testing.T, _ *home, _ *Identity, err error) {
			if !is[*MissingError](err) {
				t.Fatal(err)
			}
		}},
		{"named by its .pub", func(h *home, from *Source) []agent.AddedKey {
			key := h.key("token")
			_ = os.Remove(h.path("token"))
			from.IdentityFiles = []string{h.path("token.pub")}
			return []agent.AddedKey{{PrivateKey: h.key("a")}, {PrivateKey: key}}
		}, func(t *testing.T, h *home, id *Identity, err error) {
			if err != nil || !id.Agent || id.Path != h.path("token.pub") {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
		{"named by its certificate", func(h *home, from *Source) []agent.AddedKey {
			key := h.key("token")
			h.cert("token", key)
			_ = os.Remove(h.path("token"))
			_ = os.Remove(h.path("token.pub"))
			from.CertificateFiles = []string{h.path("token-cert.pub")}
			return []agent.AddedKey{{PrivateKey: h.key("a")}, {PrivateKey: key}}
		}, func(t *testing.T, h *home, id *Identity, err error) {
			if err != nil || id.Cert == nil || id.CertPath != h.path("token-cert.pub") {
				t.Fatalf("%+v, %v", id, err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			from := Source{Dir: h.dir}
			keys := tt.setup(h, &from)
			socket, _ := newAgent(t, keys...)
			t.Setenv("SSH_AUTH_SOCK", socket)
			id, err := Load(t.Context(), from, nil)
			tt.check(t, h, id, err)
			if err == nil {
				works(t, id)
			}
		})
	}
}

// TestAgentRSA: the algorithms that x/crypto asks for reach the agent.
func TestAgentRSA(t *testing.T) {
	h := newHome(t)
	signer := sshtest.RSAKey(t)
	socket, _ := newAgent(t, agent.AddedKey{PrivateKey: sshtest.RSAPrivateKey(t)})
	from := h.source()
	from.IdentityAgent = socket
	id, err := Load(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512} {
		sig, err := id.Signer.(ssh.AlgorithmSigner).SignWithAlgorithm(nil, []byte("data"), algorithm)
		if err != nil || sig.Format != algorithm {
			t.Fatalf("%+v, %v", sig, err)
		}
		if err := signer.PublicKey().Verify([]byte("data"), sig); err != nil {
			t.Error(err)
		}
	}
}

func TestAgentGone(t *testing.T) {
	h := newHome(t)
	h.key("token")
	_ = os.Remove(h.path("token"))
	from := h.source()
	from.IdentityAgent = h.path("no-socket")
	from.Identity = h.path("token.pub")
	if _, err := Load(t.Context(), from, nil); !is[*AgentError](err) {
		t.Error(err)
	}
	// Where there is a key to be had without it, it is not missed.
	h.key("cscs-key")
	from.Identity = ""
	if _, err := Load(t.Context(), from, nil); err != nil {
		t.Error(err)
	}
}

func TestPermissions(t *testing.T) {
	h := newHome(t)
	h.key("cscs-key")
	if err := os.Chmod(h.path("cscs-key"), 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Load(t.Context(), h.source(), nil)
	var e *PermissionsError
	if !errors.As(err, &e) || e.Mode != 0o640 || e.Fix != "chmod 600 "+h.path("cscs-key") {
		t.Errorf("%v", err)
	}
}

// TestAgentHangsWithLists: an agent that never answers is given up, after the user has learnt that
// it is waited for.
func TestAgentHangsWithLists(t *testing.T) {
	h := newHome(t)
	from := h.source()
	from.IdentityAgent = sshtest.ServeUnix(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	waited := 0
	lists := &Lists{limit: noticeAfter + 100*time.Millisecond, Waiting: func(string) { waited++ }}
	for range 2 { // the second time, nothing has to be waited for
		if _, err := Load(lists.In(t.Context()), from, nil); !errors.Is(err, ErrAgentHangs) || waited != 1 {
			t.Errorf("%v, said %d times", err, waited)
		}
	}
}
