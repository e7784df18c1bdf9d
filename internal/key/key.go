// Package key finds what we show at the door: one key, and mostly the
// certificate that a signing service has put over it for a day.
//
// Servers count each key that is offered and hang up after a few, so exactly one is chosen
// here. The first of these that exists is it:
//
//  1. the key named by --identity, and then nothing else is looked at;
//  2. the IdentityFiles that a block of ~/.ssh/config sets for the host, in order, but for
//     ssh's default names;
//  3. ~/.ssh/cscs-key with its certificate, where CSCS's tools put it;
//  4. the IdentityFiles that ~/.ssh/config sets for every host ("Host *"), with a certificate;
//  5. a certificate that the agent holds (not with IdentitiesOnly);
//  6. the IdentityFiles of step 4 without a certificate, then ~/.ssh/cscs-key likewise;
//  7. ssh's default names, ~/.ssh/id_ed25519 and so on, whether configured or not;
//  8. the agent's key, if it holds a single one (not with IdentitiesOnly).
//
// Where no service signs keys, an IdentityFile for every host counts as one for the host.
//
// Among several with a certificate the first whose certificate is valid wins. If one has run
// out and no other is valid, that is the error, and a bare key from further
// down is not tried: it would be refused for a reason that nobody could guess.
//
// The private key may be in its file or in the agent. An encrypted file that
// the agent holds as well is never asked for.
package key

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Source is where to look for a key.
type Source struct {
	// Identity is the key that was named on the command line or the like: its
	// private file, its .pub (the agent then holds the key) or its -cert.pub.
	Identity string

	IdentityFiles    []string // of ssh_config, expanded; those that do not exist are passed over
	CertificateFiles []string // likewise; a certificate is used with the key that it was made for
	Common           []string // those of both that are set for every host, and yield to a signed key

	// IdentityAgent is the agent's socket, or on Windows its pipe: "" is the
	// environment's SSH_AUTH_SOCK (or OpenSSH's own pipe), "none" none at all.
	IdentityAgent  string
	IdentitiesOnly bool // of what the agent holds, use only what the files name

	// Sealed has the file of an encrypted key not be opened, if its public half is known without
	// that: whoever wants to sign calls Open before. For those who may not have to.
	Sealed bool

	Dir string           // default: ~/.ssh
	Now func() time.Time // default: time.Now
}

// Prompter asks the user. Without a terminal there is none: nil.
type Prompter interface {
	// ReadSecret shows the prompt, reads a line without echo and returns it.
	ReadSecret(ctx context.Context, prompt string) ([]byte, error)
}

// Identity is the key that was chosen.
type Identity struct {
	Signer ssh.Signer // shows the certificate, if there is one, else the key

	Path        string // of the private key or, if the agent alone has it, of its .pub; "" if there is no file
	CertPath    string // of the certificate; "" if there is none or the agent holds it
	Comment     string
	Fingerprint string // "SHA256:…", of the key, as ssh-keygen -l says it
	Agent       bool   // the agent signs

	Cert        *ssh.Certificate // nil for a bare key
	Principals  []string         // the users that the certificate is for; empty without one
	ValidAfter  time.Time        // zero: always
	ValidBefore time.Time        // zero: for ever
	Extensions  []string         // what the certificate permits, sorted: "permit-pty", …

	sealed *sealedKey // nil: it signs
}

// Sealed reports whether the key has to be opened before it signs.
func (id *Identity) Sealed() bool { return id.sealed != nil && id.sealed.isSealed() }

// Open asks for the passphrase of a key that is sealed; of another it does nothing.
//
// Errors: *PassphraseError, *FileError; the cause of ctx if that ended.
func (id *Identity) Open(ctx context.Context, ask Prompter) error {
	if id.sealed == nil {
		return nil
	}
	return id.sealed.open(ctx, ask)
}

// Principal is the certificate's user name if there is exactly one, and else "".
func (id *Identity) Principal() string {
	if len(id.Principals) == 1 {
		return id.Principals[0]
	}
	return ""
}

// SignPath is the path of the key for which to have another certificate signed, so that it takes
// the place of this one; "" if it is in no file.
func (id *Identity) SignPath() string {
	if base, ok := strings.CutSuffix(id.CertPath, certSuffix); ok {
		return base
	}
	return strings.TrimSuffix(id.Path, ".pub")
}

// Name is the key as messages call it.
func (id *Identity) Name() string {
	for _, s := range []string{id.Path, id.Comment, id.Fingerprint} {
		if s != "" {
			return s
		}
	}
	return "the agent's key"
}

// Unfit says whether the certificate lets nobody in who could go anywhere: nil, as for a bare
// key, or *UnfitError.
func (id *Identity) Unfit() error {
	if id.Cert == nil {
		return nil
	}
	return Unfit(id.Name(), id.Cert)
}

// Load chooses a key; see the package's description for how. Use a Ring to load
// for several hosts.
//
// Errors: *MissingError, *HalfError, *ExpiredError, *NotYetValidError, *PassphraseError,
// *PermissionsError, *FileError; the cause of ctx if that ended.
func Load(ctx context.Context, from Source, ask Prompter) (*Identity, error) {
	return new(Ring).Load(ctx, from, ask)
}

// attachSigner completes an identity by what signs and what certifies it.
func (id *Identity) attachSigner(signer ssh.Signer, cert *ssh.Certificate) (*Identity, error) {
	id.Signer = signer
	id.Fingerprint = ssh.FingerprintSHA256(signer.PublicKey())
	if cert == nil {
		return id, nil
	}
	if s, ok := signer.(*agentSigner); ok {
		id.Signer = &agentSigner{s.agent, s.blob, cert}
	} else {
		certified, err := ssh.NewCertSigner(cert, signer)
		if err != nil {
			return nil, &FileError{Path: id.CertPath, What: "it does not fit the key", Err: err}
		}
		id.Signer = certified
	}
	id.Cert = cert
	id.Principals = slices.Clone(cert.ValidPrincipals)
	id.ValidAfter, id.ValidBefore = validAfter(cert), validBefore(cert)
	id.Extensions = slices.Sorted(maps.Keys(cert.Extensions))
	return id, nil
}
