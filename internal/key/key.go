// Package key finds the one key to offer to servers. In most cases it has a certificate that a
// signing service issued for a day.
//
// Servers count each key that they are offered and hang up after a few, so exactly one is chosen.
// The first of these that exists is it:
//
//  1. the key of --identity, and then nothing else is considered;
//  2. the IdentityFiles that a block of ~/.ssh/config sets for the host, in order, except ssh's
//     default names;
//  3. ~/.ssh/cscs-key with its certificate, where CSCS's tools put it;
//  4. the IdentityFiles that ~/.ssh/config sets for every host ("Host *"), with a certificate;
//  5. a certificate that the agent holds (not with IdentitiesOnly);
//  6. the IdentityFiles of step 4 without a certificate, then ~/.ssh/cscs-key without one;
//  7. ssh's default names, ~/.ssh/id_ed25519 and so on, whether configured or not;
//  8. the agent's key, if it holds a single one (not with IdentitiesOnly).
//
// Where no service signs keys, an IdentityFile for every host counts as one for the host.
//
// Among several certified keys, the first whose certificate is valid wins. If one certificate has
// expired and no other is valid, that is the error. A bare key from further down is not tried: the
// server would refuse it for a reason that no user could guess.
//
// The private key may be in its file or in the agent. The program asks for no passphrase of a file
// whose key the agent also holds.
package key

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Source says where to look for a key.
type Source struct {
	// Identity is the key that the user named, on the command line for example: its private file, its
	// .pub (the agent then holds the key) or its -cert.pub.
	Identity string

	IdentityFiles    []string // of ssh_config, expanded; those that do not exist are ignored
	CertificateFiles []string // likewise; a certificate is used with the key that it was made for
	Common           []string // the files of both that are set for every host; a signed key precedes them

	// IdentityAgent is the agent's socket, or on Windows its pipe. "" is the environment's
	// SSH_AUTH_SOCK (or OpenSSH's own pipe), "none" is no agent.
	IdentityAgent  string
	IdentitiesOnly bool // of the agent's keys, use only those that the files name

	// Sealed leaves an encrypted key closed if its public half is known. It is for callers that may not
	// have to sign; they call Identity.Open before they do.
	Sealed bool

	Dir string           // default: ~/.ssh
	Now func() time.Time // default: time.Now
}

// Prompter asks the user. It is nil without a terminal.
type Prompter interface {
	// ReadSecret shows the prompt, reads a line without echo and returns it.
	ReadSecret(ctx context.Context, prompt string) ([]byte, error)
}

// Identity is the chosen key.
type Identity struct {
	Signer ssh.Signer // presents the certificate if there is one, else the key

	Path        string // of the private key, or of its .pub if only the agent holds the key; "" if there is no file
	CertPath    string // of the certificate; "" if there is none or the agent holds it
	Comment     string
	Fingerprint string // "SHA256:…", of the key, as ssh-keygen -l prints it
	Agent       bool   // the agent signs

	Cert        *ssh.Certificate // nil for a bare key
	Principals  []string         // the users that the certificate is for; empty without one
	ValidBefore time.Time        // zero: forever

	sealed *sealedKey // nil: the key can sign
}

// Sealed reports whether the key must be opened before it can sign.
func (id *Identity) Sealed() bool { return id.sealed != nil && id.sealed.isSealed() }

// Open asks for the passphrase of a sealed key. For any other key it does nothing.
//
// Errors: *PassphraseError, *FileError; the cause of ctx if that ended.
func (id *Identity) Open(ctx context.Context, ask Prompter) error {
	if id.sealed == nil {
		return nil
	}
	return id.sealed.open(ctx, ask)
}

// Principal returns the certificate's user name if there is exactly one, else "".
func (id *Identity) Principal() string {
	if len(id.Principals) == 1 {
		return id.Principals[0]
	}
	return ""
}

// SignPath returns the path of the key to sign so that the new certificate replaces this one. It is ""
// if the key is in no file.
func (id *Identity) SignPath() string {
	if base, ok := strings.CutSuffix(id.CertPath, certSuffix); ok {
		return base
	}
	return strings.TrimSuffix(id.Path, ".pub")
}

// Name returns the name of the key for messages.
func (id *Identity) Name() string {
	return cmp.Or(id.Path, id.Comment, id.Fingerprint, "the agent's key")
}

// Unfit returns an *UnfitError if the certificate cannot open a tunnel. For a bare key it returns nil.
func (id *Identity) Unfit() error {
	if id.Cert == nil {
		return nil
	}
	return Unfit(id.Name(), id.Cert)
}

// Load chooses a key as the package comment says. A Ring loads keys for several hosts.
//
// Errors: *MissingError, *HomeError, *HalfError, *ExpiredError, *NotYetValidError, *PassphraseError,
// *PermissionsError, *FileError, *AgentError; the cause of ctx if that ended.
func Load(ctx context.Context, from Source, ask Prompter) (*Identity, error) {
	return new(Ring).Load(ctx, from, ask)
}

// attachSigner sets the signer and, unless it is nil, the certificate.
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
	id.ValidBefore = Until(cert)
	return id, nil
}
