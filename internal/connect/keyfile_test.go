package connect

import (
	"encoding/pem"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// writeKey writes a key, its public half and a certificate for alice. validity is the time that the certificate
// is still valid; a negative one has expired.
func writeKey(t *testing.T, file string, validity time.Duration) {
	t.Helper()
	private, signer := sshtest.NewPair(t)
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	cert := sshtest.UserCert(t, sshtest.NewKey(t), signer.PublicKey(), []string{"alice"}, func(c *ssh.Certificate) {
		now := time.Now()
		c.ValidAfter, c.ValidBefore = uint64(now.Add(-48*time.Hour).Unix()), uint64(now.Add(validity).Unix())
	})
	for suffix, data := range map[string][]byte{
		"": pem.EncodeToMemory(block), ".pub": ssh.MarshalAuthorizedKey(signer.PublicKey()), "-cert.pub": ssh.MarshalAuthorizedKey(cert),
	} {
		if err := os.WriteFile(file+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
