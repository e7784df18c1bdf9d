package signing

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

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
