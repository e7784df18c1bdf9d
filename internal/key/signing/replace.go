package signing

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// A ReplaceError reports that a new key would replace something that is not a key of the same
// authority. The user may need that.
type ReplaceError struct {
	Path string
	What string // what is there, as a predicate; "" for a key without a certificate
	Own  string // a private key with which the new certificate can stay; "" if not known
	From string // the path of that certificate
	Kept string // where a key that the service has made is stored instead; "" if nowhere
}

func (e *ReplaceError) Error() string {
	if e.What != "" {
		return e.Path + " " + e.What + ", and the new key would take its place"
	}
	return "the key " + e.Path + " was never signed, and the new one would take its place"
}

// checkFiles returns a *key.FileError if something other than a file has the name of a file of the key.
// A rename would fail there after the service has signed.
func (r Request) checkFiles() error {
	for _, p := range parts {
		if err := key.Check(r.Path + p.suffix); err != nil {
			return err
		}
	}
	return nil
}

// checkReplaceable returns a *ReplaceError unless r.Path has no key or one with its own certificate. It
// returns the authority of that certificate, which the new one must have too; nil allows any.
func (r Request) checkReplaceable() (by ssh.PublicKey, err error) {
	if _, err := os.Lstat(r.Path); errors.Is(err, fs.ErrNotExist) {
		if s := key.Inspect(r.Path, time.Now(), nil); s.Exists && s.Cert != nil { // for a key of another name
			return s.Cert.SignatureKey, nil
		}
		return nil, nil
	}
	s := key.Inspect(r.Path, time.Now(), r.Held)
	switch {
	case !s.Exists, errors.As(s.Problem, new(*key.FileError)):
		return nil, &ReplaceError{Path: r.Path, What: "is no key with a certificate that fits it"}
	case s.Cert == nil:
		return nil, &ReplaceError{Path: r.Path}
	}
	return s.Cert.SignatureKey, nil
}

// authorityOf returns the authority of a key's certificate, or nil if none fits the key.
func authorityOf(s key.State) ssh.PublicKey {
	if s.Cert == nil {
		return nil
	}
	return s.Cert.SignatureKey
}
