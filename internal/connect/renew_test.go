package connect

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
)

// TestEarlyOfTheAgents: a service account whose certificate only the agent has asks for one of
// the usual key: the agent's has no place of its own.
func TestEarlyOfTheAgents(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv(apiKeyVar, "secret")
	now := time.Now()
	r := &Renewal{
		Signer: &Signer{Service: site.Signing{Name: "here", Kind: site.SigningCSCS, Endpoint: "https://127.0.0.1:1", Account: "https://127.0.0.1:1"}},
		now:    func() time.Time { return now },
	}
	id := &key.Identity{Agent: true, Cert: &ssh.Certificate{}, ValidBefore: now.Add(10 * time.Second)}
	_, err := r.renewEarly(t.Context(), id)
	var failed *problem.SigningError
	if !errors.As(err, &failed) || failed.Flags != "" {
		t.Errorf("%#v: %v", err, err)
	}
}

// TestBareInFront: a bare IdentityFile that is used before ~/.ssh/cscs-key is told once, and no
// signing is spent on that key, which is good.
func TestBareInFront(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv(apiKeyVar, "secret")
	dir := filepath.Join(home, ".ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	github, good := filepath.Join(dir, "github"), filepath.Join(dir, "cscs-key")
	for _, name := range []string{github, good} {
		writeKey(t, name, 23*time.Hour)
	}
	if err := os.Remove(github + "-cert.pub"); err != nil {
		t.Fatal(err)
	}
	host := site.Host{IdentityFiles: []string{github}}
	id, err := key.Load(t.Context(), key.Source{IdentityFiles: host.IdentityFiles, Dir: dir}, nil)
	if err != nil || id.Cert != nil {
		t.Fatalf("%+v %v", id, err)
	}
	var said []string
	r := &Renewal{
		Signer: &Signer{
			Service: site.Signing{Name: "here", Kind: site.SigningCSCS, Endpoint: "https://127.0.0.1:1", Account: "https://127.0.0.1:1"},
			Say:     func(line string) { said = append(said, line) },
		},
		ring: new(key.Ring), now: time.Now,
	}
	for range 2 {
		if signed, err := r.signUnsignedKey(t.Context(), host, id); signed || err != nil {
			t.Errorf("%v %v", signed, err)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], github) || !strings.Contains(said[0], "--identity "+good) {
		t.Errorf("%q", said)
	}
	// Nor where that key is not good: signed, it would not be used either.
	writeKey(t, good, -time.Hour)
	said, r.precedenceTold = nil, false
	if signed, err := r.signUnsignedKey(t.Context(), host, id); signed || err != nil || len(said) != 1 {
		t.Errorf("%v %v %q", signed, err, said)
	}
	host.Common = host.IdentityFiles // every host's, behind which a signed key does not stand
	if _, err := r.signUnsignedKey(t.Context(), host, id); !errors.As(err, new(*problem.SigningError)) {
		t.Errorf("every host's: %v", err)
	}
	// Nor one that comes after it in the list, as in the configuration that CSCS recommends.
	host.Common, host.IdentityFiles = nil, []string{good, github}
	if _, err := r.signUnsignedKey(t.Context(), host, id); !errors.As(err, new(*problem.SigningError)) {
		t.Errorf("behind it: %v", err)
	}
	host.IdentityFiles = []string{github}
	host.Identity = github // which is meant
	var failed *problem.SigningError
	if _, err := r.signUnsignedKey(t.Context(), host, id); !errors.As(err, &failed) {
		t.Errorf("the named key: %v", err)
	}
}
