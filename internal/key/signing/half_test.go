package signing

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// TestSignHalf: for a key whose private half is nowhere no service is asked, and nothing changes;
// for one that an agent holds it is.
func TestSignHalf(t *testing.T) {
	a := newAuthority(t)
	r := request(t, a)
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.Path); err != nil {
		t.Fatal(err)
	}
	before := tree(t, filepath.Dir(r.Path))
	var half *key.HalfError
	if _, err := Sign(t.Context(), r); !errors.As(err, &half) || a.asked != 1 {
		t.Errorf("%v, asked %d times", err, a.asked)
	}
	if d := cmp.Diff(before, tree(t, filepath.Dir(r.Path))); d != "" {
		t.Error(d)
	}
	r.Held = func(ssh.PublicKey) (bool, error) { return true, nil }
	if result, err := Sign(t.Context(), r); err != nil || result.NewKey || a.asked != 2 {
		t.Errorf("%+v, %v, asked %d times", result, err, a.asked)
	}
}

// TestSignPair: where the certificate at the path is for a key of another name in the directory,
// that key is signed again, and no other one is made.
func TestSignPair(t *testing.T) {
	a := newAuthority(t)
	r := request(t, a)
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(filepath.Dir(r.Path), "id_ed25519")
	for _, suffix := range []string{"", ".pub"} {
		if err := os.Rename(r.Path+suffix, own+suffix); err != nil {
			t.Fatal(err)
		}
	}
	result, err := Sign(t.Context(), r)
	if err != nil || result.NewKey || result.Path != own || result.CertPath != r.Path+"-cert.pub" {
		t.Fatalf("%+v, %v", result, err)
	}
	if _, err := os.Lstat(r.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
	if s := key.Inspect(r.Path, time.Now(), nil); s.Problem != nil || s.Cert.Serial != 2 {
		t.Errorf("%+v", s)
	}
}
