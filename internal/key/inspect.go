package key

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// DefaultPath returns the path at which CSCS's tools write the key: ~/.ssh/cscs-key.
func DefaultPath() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &HomeError{Err: err}
	}
	return filepath.Join(home, ".ssh", "cscs-key"), nil
}

// A State describes one key, usable or not.
type State struct {
	Path        string        // of the private key; another than asked for if the certificate of that name is for it
	Exists      bool          // the private key file exists
	Encrypted   bool          // it has a passphrase
	Public      ssh.PublicKey // nil if not known
	Comment     string
	Cert        *ssh.Certificate // nil if none; it fits the key
	CertPath    string
	ValidAfter  time.Time // of the certificate; zero: always
	ValidBefore time.Time // zero: forever

	// Problem is why the key cannot be used now with a certificate, or nil. It is one of *MissingError,
	// *HalfError, *AgentError, *ExpiredError, *NotYetValidError, *UnfitError, *PermissionsError,
	// *FileError and *UncertifiedError.
	Problem error
}

// Inspect describes the key of a name. It calls held only for a key whose private half is in no file. A
// nil held means that no agent holds the key.
func Inspect(path string, now time.Time, held Holder) State {
	s := State{Path: path, CertPath: path + "-cert.pub"}
	k, err := readKey(path, nil)
	switch {
	case errors.Is(err, errAbsent):
		s.Problem = &MissingError{Looked: []string{path}, Fix: SignCommand + IdentityFlag(path)}
		if _, is := readDanglingLink(path); is {
			s.Problem = newHalfError(path, false)
		}
		return s
	case err != nil:
		s.Problem = err
		// Perhaps only the certificate is wrong.
		k = &keyFile{private: path}
		if k.readPrivate() != nil || k.readPublic() != nil {
			return s
		}
	}
	s.Path, s.Exists, s.Public, s.Comment = k.private, k.exists, k.pub, k.comment
	s.Encrypted = k.exists && k.signer == nil && k.unusable == nil
	if len(k.certs) > 0 {
		inUse := k.certs[0]
		for _, c := range k.certs {
			if inUse.checkTime(now) != nil && c.checkTime(now) == nil {
				inUse = c
			}
		}
		s.Cert, s.CertPath = inUse.cert, inUse.path
		s.ValidAfter, s.ValidBefore = validAfter(s.Cert), Until(s.Cert)
	}
	if s.Problem == nil && !k.exists {
		s.Problem = held.checkHeld(s.Path, s.Public)
	}
	switch {
	case s.Problem != nil:
	case k.unusable != nil:
		s.Problem = k.unusable
	case s.Cert == nil:
		s.Problem = &UncertifiedError{Path: path}
	default:
		if s.Problem = InTime(s.CertPath, s.Cert, now); s.Problem == nil {
			s.Problem = Unfit(path, s.Cert)
		}
	}
	return s
}

// Check returns a *FileError if path is something other than a file, so that no key can be there.
func Check(path string) error {
	if err := regular.Check(path); errors.As(err, new(*regular.Error)) {
		return newUnreadableError(path, err)
	}
	return nil
}

// UncertifiedError reports a key without a certificate. A site that has keys signed does not accept it.
type UncertifiedError struct{ Path string }

func (e *UncertifiedError) Error() string { return "key " + e.Path + " has no certificate" }

// ParseCertificate parses a user certificate, one line as in a -cert.pub file. The error says what data is instead.
func ParseCertificate(data []byte) (*ssh.Certificate, error) {
	cert, _, what := parseCertificate(data)
	if what != "" {
		return nil, errors.New(what)
	}
	return cert, nil
}

// InTime returns nil if the certificate is valid now, else an *ExpiredError or a *NotYetValidError about path.
func InTime(path string, cert *ssh.Certificate, now time.Time) error {
	return certFile{path: path, cert: cert}.checkTime(now)
}

// Open opens a private key. If the key has a passphrase, Open asks for it at most three times and
// returns it. The caller clears the passphrase, which is nil if there is none.
//
// Errors: *MissingError, *PassphraseError, *PermissionsError, *FileError; the cause of ctx if that ended.
func Open(ctx context.Context, path string, ask Prompter) (private crypto.PrivateKey, passphrase []byte, err error) {
	k := &keyFile{private: path}
	if err := k.readPrivate(); err != nil {
		return nil, nil, err
	}
	switch {
	case !k.exists:
		return nil, nil, &MissingError{Looked: []string{path}, Fix: SignCommand + IdentityFlag(path)}
	case k.unusable != nil:
		return nil, nil, k.unusable
	}
	data, _, err := regular.Read(path)
	if err != nil {
		return nil, nil, newUnreadableError(path, err)
	}
	if k.signer != nil {
		private, err = ssh.ParseRawPrivateKey(data)
		if err != nil {
			return nil, nil, &FileError{Path: path, What: "it is no private key that can be used from here", Err: err}
		}
		return private, nil, nil
	}
	failed := &PassphraseError{Path: path, Err: ErrNoTerminal}
	if ask == nil {
		return nil, nil, failed
	}
	passphrase, err = failed.askPassphrase(ctx, ask, func(passphrase []byte) (err error) {
		private, err = ssh.ParseRawPrivateKeyWithPassphrase(data, passphrase)
		return err
	})
	return private, passphrase, err
}

// isSameKey reports whether a and b are the same key.
func isSameKey(a, b ssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}
