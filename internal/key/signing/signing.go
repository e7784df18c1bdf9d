// Package signing has a key certified and replaces the key's files: all of them or none.
//
// The old files stay until the new certificate is checked. It must be for the key, bear its authority's
// signature, and be valid now. The package reserves space for the new files before it calls the
// service, so that a full or read-only disk costs none of the day's signings. Two processes at once
// make one signing: the second waits and takes the result of the first.
package signing

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// A Service certifies keys for an authority.
type Service interface {
	// MakesKeys reports whether the service makes the key itself.
	MakesKeys() bool
	// Certify has pub certified. If the service makes keys, pub is nil and private is the new key
	// (PEM). The certificate is as in a -cert.pub file.
	Certify(ctx context.Context, pub ssh.PublicKey) (certificate, private []byte, err error)
}

// A Request describes a signing.
type Request struct {
	Service Service
	Name    string // of the service, for the journal
	Path    string // of the private key
	State   string // directory for the lock and the journal
	Comment string // for a new key
	Short   bool   // a certificate for a minute, which does not count

	// Before is the state of the key on which the caller based its decision, maybe before it asked the
	// user. nil means the state when Sign is called. If another process has signed since, Sign takes
	// that certificate.
	Before *key.State
	// Ask asks the user for passphrases. If it is nil, or with Short, a new key has none.
	Ask Prompter
	// Held reports whether an agent holds a key whose private half is in no file. Sign does not sign
	// such a key otherwise. A nil Held means that no agent does.
	Held key.Holder
	// Waiting is called if Sign has to wait for another process. It may be nil.
	Waiting func()
}

// Prompter asks for secrets.
type Prompter interface {
	key.Prompter
	// NewPassphrase asks for a new passphrase, twice. An empty one means none.
	NewPassphrase(ctx context.Context, path string) ([]byte, error)
}

// A Result is a key with its new, valid certificate.
type Result struct {
	Path, CertPath string
	Cert           *ssh.Certificate
	NewKey         bool       // the key is new too
	Signer         ssh.Signer // the new key, whose passphrase need not be asked for; nil if the key is not new
	Bare           bool       // the new key has no passphrase, because the user could not be asked
	Meanwhile      bool       // another process made it after this one looked
}

// Sign gets a certificate for the key at r.Path. It makes the key if there is none.
//
// Errors: the service's; *CertificateError, *ReplaceError, *WriteError, *BusyError; those of key.Open;
// the cause of ctx if that ended.
func Sign(ctx context.Context, r Request) (Result, error) {
	if err := r.checkFiles(); err != nil {
		return Result{}, err
	}
	before := r.Before
	if before == nil {
		before = new(key.Inspect(r.Path, time.Now(), r.Held))
	}
	release, err := lockKey(ctx, r.State, r.Path, r.Waiting)
	if err != nil {
		return Result{}, err
	}
	defer release()
	restored, err := sweepLeftovers(r.Path)
	if err != nil {
		return Result{}, err
	}
	// A certificate that the sweep restored is not a new one.
	if s := key.Inspect(r.Path, time.Now(), r.Held); !restored && s.Problem == nil && !sameCertificate(s.Cert, before.Cert) {
		return Result{Path: r.Path, CertPath: s.CertPath, Cert: s.Cert, Meanwhile: true}, nil
	}
	if r.Service.MakesKeys() {
		return r.fetchPair(ctx)
	}
	return r.certifyOwnKey(ctx)
}

func sameCertificate(a, b *ssh.Certificate) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}

// certifyOwnKey has the user's key signed, or makes one.
func (r Request) certifyOwnKey(ctx context.Context) (Result, error) {
	b := newBatch(r.Path)
	defer b.discard()
	certFile, err := b.stageFile(certPart)
	if err != nil {
		return Result{}, err
	}
	pub, err := r.publicOf(ctx)
	var signer ssh.Signer // of a new key
	if errors.As(err, new(*key.MissingError)) {
		if signer, err = r.generateKey(ctx, b); err == nil {
			pub = signer.PublicKey()
		}
	}
	if err != nil {
		return Result{}, err
	}
	text, _, err := r.Service.Certify(ctx, pub)
	if err != nil {
		return Result{}, err
	}
	cert, err := r.acceptCertificate(text, pub, nil)
	if err != nil {
		return Result{}, err
	}
	if err := certFile.write(ssh.MarshalAuthorizedKey(cert)); err != nil {
		return Result{}, err
	}
	result, err := r.commitAndRecord(b, cert, signer != nil)
	result.Signer = signer
	if err == nil { // the certificate may be for a key of another name
		result.Path = key.Inspect(r.Path, time.Now(), nil).Path
	}
	return result, err
}

// fetchPair gets key and certificate from a service that makes both.
func (r Request) fetchPair(ctx context.Context) (Result, error) {
	by, err := r.checkReplaceable()
	if err != nil {
		return Result{}, err
	}
	b := newBatch(r.Path)
	defer b.discard()
	if err := b.stageAll(); err != nil {
		return Result{}, err
	}
	// Before the service is asked: if the user gives up here, no signing is used up and no certificate is lost.
	passphrase, err := r.newPassphrase(ctx)
	if err != nil {
		return Result{}, err
	}
	defer clear(passphrase)
	text, private, err := r.Service.Certify(ctx, nil)
	if err != nil {
		return Result{}, err
	}
	defer clear(private)
	raw, err := ssh.ParseRawPrivateKey(private)
	if err != nil {
		return Result{}, &CertificateError{What: "what came with it is no private key"}
	}
	result, err := r.installPair(b, raw, text, passphrase, by)
	var other *ReplaceError
	if errors.As(err, &other) { // the service has counted it
		other.Kept = r.storePairBeside(raw, text, passphrase)
	}
	return result, err
}

// storePairBeside stores a pair that must not replace the key at r.Path beside it, under the service's
// name. It returns the path, or "" if it could not.
func (r Request) storePairBeside(raw any, text, passphrase []byte) (path string) {
	r.Path += "-" + r.Name
	for _, p := range parts {
		if _, err := os.Lstat(r.Path + p.suffix); !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	b := newBatch(r.Path)
	defer b.discard()
	if b.stageAll() != nil {
		return ""
	}
	if _, err := r.installPair(b, raw, text, passphrase, nil); err != nil {
		return ""
	}
	return r.Path
}

// newPassphrase asks for the passphrase of a new key. It returns nil if the user wants none or cannot be asked.
func (r Request) newPassphrase(ctx context.Context) ([]byte, error) {
	if r.Ask == nil || r.Short { // a certificate for a minute leaves no time for questions
		return nil, nil
	}
	return r.Ask.NewPassphrase(ctx, r.Path)
}

// installPair writes a pair that this program did not make, with a passphrase of the user's. Its
// authority must be by, unless that is nil.
func (r Request) installPair(b *batch, raw any, text, passphrase []byte, by ssh.PublicKey) (Result, error) {
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return Result{}, &CertificateError{What: "what came with it is no private key that can be used"}
	}
	cert, err := r.acceptCertificate(text, signer.PublicKey(), by)
	if err != nil {
		return Result{}, err
	}
	sealed, err := encodePrivateKey(raw, r.Comment, passphrase)
	if err != nil {
		return Result{}, err
	}
	defer clear(sealed)
	result, err := r.writePair(b, sealed, cert)
	result.Signer = signer
	return result, err
}

// writePair writes a private key and its certificate to the staged files, and commits them.
func (r Request) writePair(b *batch, private []byte, cert *ssh.Certificate) (Result, error) {
	for i, data := range [][]byte{private, publicLine(cert.Key, r.Comment), ssh.MarshalAuthorizedKey(cert)} {
		if err := b.files[i].write(data); err != nil {
			return Result{}, err
		}
	}
	return r.commitAndRecord(b, cert, true)
}

// stageAll reserves space for key, public key and certificate.
func (b *batch) stageAll() error {
	for part := range parts {
		if _, err := b.stageFile(part); err != nil {
			return err
		}
	}
	return nil
}

// commitAndRecord commits the files and records the signing.
func (r Request) commitAndRecord(b *batch, cert *ssh.Certificate, isNew bool) (Result, error) {
	if err := b.commit(); err != nil {
		return Result{}, err
	}
	// The record is only for counting: the certificate is valid without it.
	_ = OpenJournal(r.State).Add(Entry{
		Time: time.Now().UTC(), Service: r.Name, Serial: cert.Serial, Until: key.Until(cert), Path: r.Path, Short: r.Short,
	})
	return Result{Path: r.Path, CertPath: r.Path + "-cert.pub", Cert: cert, NewKey: isNew, Bare: isNew && r.Ask == nil && !r.Short}, nil
}
