package sshtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// NewKey returns a new Ed25519 key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	key, err := sshserver.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewPair returns a new Ed25519 key with its private half, which an agent needs.
func NewPair(t testing.TB) (ed25519.PrivateKey, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, signer
}

// NewECDSAKey returns a new P-256 key.
func NewECDSAKey(t testing.TB) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newSigner(t, key)
}

// rsaKey makes one RSA key for all tests, because that takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// RSAKey returns an RSA key of 2048 bits, the same in each call.
func RSAKey(t testing.TB) ssh.Signer {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	return newSigner(t, key)
}

func newSigner(t testing.TB, key any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// UserCert signs key for the principals, valid from an hour ago to a day from now. change alters the
// certificate before it is signed.
func UserCert(t testing.TB, ca ssh.Signer, key ssh.PublicKey, principals []string, change ...func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	return signCert(t, ca, &ssh.Certificate{
		CertType: ssh.UserCert, Key: key, ValidPrincipals: principals,
		Permissions: ssh.Permissions{Extensions: map[string]string{
			"permit-port-forwarding": "", "permit-pty": "",
		}},
	}, change)
}

// HostCert signs key for the host names, with the validity and change of UserCert.
func HostCert(t testing.TB, ca ssh.Signer, key ssh.PublicKey, names []string, change ...func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	return signCert(t, ca, &ssh.Certificate{CertType: ssh.HostCert, Key: key, ValidPrincipals: names}, change)
}

// signCert completes and signs a certificate.
func signCert(t testing.TB, ca ssh.Signer, cert *ssh.Certificate, change []func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	now := time.Now()
	cert.KeyId = "test"
	cert.Serial = 7
	cert.ValidAfter = uint64(now.Add(-time.Hour).Unix())
	cert.ValidBefore = uint64(now.Add(24 * time.Hour).Unix())
	for _, f := range change {
		f(cert)
	}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return cert
}

// Certified returns a signer that shows cert and signs with key.
func Certified(t testing.TB, cert *ssh.Certificate, key ssh.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// RSAPrivateKey returns the private key of RSAKey.
func RSAPrivateKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
