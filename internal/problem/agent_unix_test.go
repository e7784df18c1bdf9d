//go:build unix

package problem

import (
	"crypto/ed25519"
	"net"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestManyKeysFix: what is pasted leaves the key that nobody has but the agent, with its
// certificate, and nothing else.
func TestManyKeysFix(t *testing.T) {
	ring := agent.NewKeyring()
	t.Setenv("SSH_AUTH_SOCK", sshtest.ServeUnix(t, func(c net.Conn) { _ = agent.ServeAgent(ring, c) }))

	var only []ssh.PublicKey
	for i := range 8 {
		pub, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		add := agent.AddedKey{PrivateKey: private, Comment: "k"}
		if i == 3 {
			plain, err := ssh.NewPublicKey(pub)
			if err != nil {
				t.Fatal(err)
			}
			cert := sshtest.UserCert(t, sshtest.NewKey(t), plain, []string{"alice"})
			only = []ssh.PublicKey{cert, plain}
			if err := ring.Add(agent.AddedKey{PrivateKey: private, Certificate: cert, Comment: "k"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := ring.Add(add); err != nil {
			t.Fatal(err)
		}
	}
	paste(t, Of(&doctor.ManyKeysError{Keys: 9, Only: only}).Fix)
	left, err := ring.List()
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
	for _, k := range left {
		if string(k.Blob) != string(only[0].Marshal()) && string(k.Blob) != string(only[1].Marshal()) {
			t.Errorf("another was left: %v", k)
		}
	}
}
