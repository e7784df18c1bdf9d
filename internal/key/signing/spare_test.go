package signing

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSpareUnknown: neither a service that makes keys nor an import replaces a file that is not
// known to be a key of the same authority.
func TestSpareUnknown(t *testing.T) {
	oldPEM := func(k *ecdsa.PrivateKey) []byte {
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte("hush"), x509.PEMCipherAES256) //nolint:staticcheck // as old keys are
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(block)
	}(ecdsaKey(t))
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signed := func(r Request, a *authority) {
		r.Service = a
		if _, err := Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		setup func(r Request)
		asked int // since only its answer tells the authority
	}{
		"a key of PuTTY's": {setup: func(r Request) { write(r.Path, []byte("PuTTY-User-Key-File-3: ssh-ed25519\n")) }},
		"notes":            {setup: func(r Request) { write(r.Path, []byte("notes")) }},
		"an empty file":    {setup: func(r Request) { write(r.Path, nil) }},
		"a key that cannot be parsed": {setup: func(r Request) {
			signed(r, newAuthority(t))
			write(r.Path, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
		}},
		"an old encrypted key with an empty .pub": {setup: func(r Request) {
			write(r.Path, oldPEM)
			write(r.Path+".pub", []byte("\n"))
		}},
		"another key's certificate": {setup: func(r Request) {
			signed(r, newAuthority(t))
			write(r.Path+"-cert.pub", newAuthority(t).sign(newSigner(t).PublicKey()))
		}},
		"an empty certificate": {setup: func(r Request) {
			signed(r, newAuthority(t))
			write(r.Path+"-cert.pub", nil)
		}},
		"a link to nothing": {setup: func(r Request) {
			if err := os.Symlink("/media/usb/key", r.Path); err != nil {
				t.Fatal(err)
			}
		}},
		"another authority": {setup: func(r Request) { signed(r, newAuthority(t)) }, asked: 1},
	} {
		a := newAuthority(t)
		a.makes = true
		r := request(t, a)
		if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
			t.Fatal(err)
		}
		c.setup(r)
		pair := savePair(t, a, t.TempDir())
		before := leaves(t, r.Path)
		var replace *ReplaceError
		if _, err := Sign(t.Context(), r); !errors.As(err, &replace) || a.asked != c.asked {
			t.Errorf("%s: %v; the service was asked %d times", name, err, a.asked)
		}
		if _, err := Import(t.Context(), r, pair); !errors.As(err, &replace) {
			t.Errorf("%s: import: %v", name, err)
		}
		if d := cmp.Diff(before, leaves(t, r.Path)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// leaves is what there is of a key, by the suffixes of the files.
func leaves(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, suffix := range []string{"", ".pub", "-cert.pub"} {
		if to, err := os.Readlink(path + suffix); err == nil {
			all[suffix] = "a link to " + to
		} else if text, err := os.ReadFile(path + suffix); err == nil {
			all[suffix] = string(text)
		}
	}
	return all
}

// TestImportOtherAuthority: a certificate of another authority for the key in place is not
// imported either.
func TestImportOtherAuthority(t *testing.T) {
	work, a := newAuthority(t), newAuthority(t)
	r := request(t, work)
	result, err := Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(t.TempDir(), "cscs-key-cert.pub")
	if err := os.WriteFile(cert, a.sign(result.Cert.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readCert(cert)
	if err != nil {
		t.Fatal(err)
	}
	before := leaves(t, r.Path)
	var replace *ReplaceError
	if _, err := Import(t.Context(), r, Pair{Key: r.Path, Cert: cert, cert: c}); !errors.As(err, &replace) {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, leaves(t, r.Path)); d != "" {
		t.Error(d)
	}
}
