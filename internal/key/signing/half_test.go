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

// TestFetchOtherAuthority: a service that makes keys has answered, and its authority is another than
// that of the key in place, which stays. The pair, which is one of the day's signings, is kept beside it.
func TestFetchOtherAuthority(t *testing.T) {
	first := newAuthority(t)
	r := request(t, first)
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := tree(t, filepath.Dir(r.Path))
	other := newAuthority(t)
	other.makes = true
	r.Service, r.Name = other, "other"
	var replace *ReplaceError
	if _, err := Sign(t.Context(), r); !errors.As(err, &replace) || replace.Kept != r.Path+"-other" {
		t.Fatalf("%+v, %v", replace, err)
	}
	after := tree(t, filepath.Dir(r.Path))
	for name, file := range before {
		if after[name] != file {
			t.Errorf("%s is another", name)
		}
	}
	if s := key.Inspect(replace.Kept, time.Now(), nil); s.Problem != nil || !s.Exists {
		t.Errorf("%+v", s)
	}
	// The next one does not take its place.
	kept := tree(t, filepath.Dir(r.Path))
	if _, err := Sign(t.Context(), r); !errors.As(err, &replace) {
		t.Errorf("%v", err)
	}
	for name, file := range kept {
		if tree(t, filepath.Dir(r.Path))[name] != file {
			t.Errorf("%s is another", name)
		}
	}
}
