package key

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestAgentOfAnotherUser: an agent that another user runs is neither asked nor given a key.
func TestAgentOfAnotherUser(t *testing.T) {
	dir := filepath.Join(strangertest.PublicDir(t), "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	says := strangertest.Listen(t, dir, socket)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: pub, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	a := FindAgent(socket)
	for what, ask := range map[string]func() error{
		"list": func() error { _, err := a.Holds(t.Context(), pub); return err },
		"add":  func() error { _, err := a.Add(t.Context(), private, cert, "key", time.Now()); return err },
		"sign": func() error {
			_, err := (&agentSigner{agent: a, blob: pub.Marshal(), pub: pub}).Sign(nil, []byte("data"))
			return err
		},
		"give": func() error {
			return a.withClient(t.Context(), func(client agent.ExtendedAgent) error {
				return client.Add(agent.AddedKey{PrivateKey: private})
			})
		},
	} {
		var failed *AgentError
		if err := ask(); !errors.As(err, &failed) || !errors.Is(err, peer.ErrStranger) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
		if said := says(); said != "0 bytes" {
			t.Errorf("%s: the stranger heard %s", what, said)
		}
	}
}
