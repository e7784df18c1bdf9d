//go:build linux || darwin

package connect

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestRedialAfterJoin: a session that has joined the connection of another process looks for its keys anew
// when it has to dial: the certificate may have been renewed meanwhile.
func TestRedialAfterJoin(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	identity := filepath.Join(t.TempDir(), "cscs-key")
	writeKey(t, identity, time.Hour)
	server := sshtest.Start(t, sshtest.Config{Anyone: true})
	sockets := filepath.Join(sshtest.ShortDir(t), "s")
	signer := sshtest.NewKey(t)
	newRoute := func() *Route {
		r := &Route{
			dir: sockets, ring: &key.Ring{}, hosts: []site.Host{{Name: "daint", Identity: identity}}, keys: []*key.Identity{{Fingerprint: "old", Signer: signer}},
			hops: []chain.Hop{{Name: "daint", Addr: server.Addr(), User: "alice", Signer: signer, HostKeys: chain.PinnedKeys(server.HostKey())}},
		}
		return r
	}
	owner, err := newRoute().DialShared(t.Context(), chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRoute()
	c, err := r.DialShared(t.Context(), chain.Options{})
	if err != nil || !c.Joined() {
		t.Fatalf("joined %v, %v", c.Joined(), err)
	}
	_ = owner.Close()
	_ = c.Close()
	c, err = r.DialShared(t.Context(), chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := r.hops[0].Signer.PublicKey(); string(got.Marshal()) == string(signer.PublicKey().Marshal()) {
		t.Errorf("dialled with the key of the beginning, %s", ssh.FingerprintSHA256(got))
	}
}
