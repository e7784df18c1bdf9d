package signing

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// A ReplaceError says that another key would take the place of something that is not known to be
// a key of the same authority, and so may be of use for something else.
type ReplaceError struct {
	Path string
	What string // what there is, as a predicate; "" for a key without a certificate
	Own  string // the private key beside which there is a place for the new certificate; "" if it is not known
	From string // and where that is
	Kept string // where the new key is instead, which a service has made already; "" for nowhere
}

func (e *ReplaceError) Error() string {
	if e.What != "" {
		return e.Path + " " + e.What + ", and the new key would take its place"
	}
	return "the key " + e.Path + " was never signed, and the new one would take its place"
}

// checkFiles refuses something other than a file in place of one of the key's files: a rename there
// would fail when a service has already signed. The error is a *key.FileError.
func (r Request) checkFiles() error {
	for _, p := range parts {
		if err := key.Check(r.Path + p.suffix); err != nil {
			return err
		}
	}
	return nil
}

// checkReplaceable refuses what another key must not replace: all but a key with a certificate that fits
// it. It returns the authority of that certificate, which the new one must have, too; nil: there
// is nothing, and any will do. The error is a *ReplaceError.
func (r Request) checkReplaceable() (by ssh.PublicKey, err error) {
	if _, err := os.Lstat(r.Path); errors.Is(err, fs.ErrNotExist) {
		if s := key.Inspect(r.Path, time.Now(), nil); s.Exists && s.Cert != nil { // of that name, for a key of another
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

// currentAuthority is that of the certificate in place; nil: there is none that fits the key.
func (r Request) currentAuthority() ssh.PublicKey {
	if s := key.Inspect(r.Path, time.Now(), r.Held); s.Cert != nil {
		return s.Cert.SignatureKey
	}
	return nil
}
