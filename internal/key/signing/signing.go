// Package signing gets a key certified and puts key and certificate where ssh looks for
// them: all of it or nothing.
//
// What was there stays as it is until the new certificate has been read, fits the key,
// bears a signature that is its authority's, and is valid now. Room for the new files is taken
// before the service is asked, so that a full or read-only disk costs none of the
// day's signings. Two processes at once are one signing: the second waits if need be, and takes what
// the first has got.
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

// A Service puts an authority's signature over a key.
type Service interface {
	// MakesKeys says that the service makes the key itself.
	MakesKeys() bool
	// Certify has pub certified, or a new key if the service makes them: pub is nil then, and
	// private the key (PEM). The certificate is as in a -cert.pub file.
	Certify(ctx context.Context, pub ssh.PublicKey) (certificate, private []byte, err error)
}

// A Request is a signing that is asked for.
type Request struct {
	Service Service
	Name    string // of the service, for the journal
	Path    string // of the private key
	State   string // directory for the lock and the journal
	Comment string // for a new key
	Short   bool   // a certificate for a minute, which does not count

	// Before is the state of the key by which the caller decided to sign, maybe before a question;
	// nil: that when Sign is called. Another process may sign before Sign has the lock: its
	// certificate is taken then.
	Before *key.State
	// Ask is who is asked for passphrases; nil: nobody, and a new key has none, as with Short.
	Ask Prompter
	// Held says whether an agent holds a key whose private half is in no file, which is not
	// signed otherwise; nil: none does.
	Held key.Holder
	// Waiting is called if another process is at it, which is waited for. May be nil.
	Waiting func()
}

// Prompter asks for secrets.
type Prompter interface {
	key.Prompter
	// NewPassphrase asks for one, twice; an empty one is none.
	NewPassphrase(ctx context.Context, path string) ([]byte, error)
}

// A Result is a key with a certificate that is good.
type Result struct {
	Path, CertPath string
	Cert           *ssh.Certificate
	NewKey         bool       // the key was made for it
	Signer         ssh.Signer // the new key, whose passphrase need not be asked for again; nil: it is not new
	Bare           bool       // and has no passphrase, since nobody could be asked for one
	Meanwhile      bool       // by another process, since this one looked
}

// Sign gets a certificate for the key of r.Path, which is made if it is not there.
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
	// What was put back is no news.
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

// certifyOwnKey has our own key signed.
func (r Request) certifyOwnKey(ctx context.Context) (Result, error) {
	b := newBatch(r.Path)
	defer b.discard()
	certFile, err := b.stageFile("-cert.pub", 0o644)
	if err != nil {
		return Result{}, err
	}
	pub, err := r.publicOf(ctx)
	var missing *key.MissingError
	var signer ssh.Signer // of a new key
	if errors.As(err, &missing) {
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

// fetchPair takes key and certificate from a service that makes both.
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
	// Before the service is asked: whoever thinks better of it has lost none of the day's
	// signings, and there is no certificate that nobody has.
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

// storePairBeside puts a pair that must not take the place of r's beside it, under the service's name, and
// returns its path; "" if that place is not free.
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

// newPassphrase is the user's for a new key; nil: none, or nobody can be asked.
func (r Request) newPassphrase(ctx context.Context) ([]byte, error) {
	if r.Ask == nil || r.Short { // who signs for a minute has no time for questions
		return nil, nil
	}
	return r.Ask.NewPassphrase(ctx, r.Path)
}

// installPair writes a pair that came from elsewhere, with a passphrase of the user's. Its authority
// must be by; nil: any.
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
	for i, data := range [][]byte{sealed, publicLine(signer.PublicKey(), r.Comment), ssh.MarshalAuthorizedKey(cert)} {
		if err := b.files[i].write(data); err != nil {
			return Result{}, err
		}
	}
	result, err := r.commitAndRecord(b, cert, true)
	result.Signer = signer
	return result, err
}

// stageAll takes room for key, public key and certificate.
func (b *batch) stageAll() error {
	for _, f := range []struct {
		suffix string
		mode   fs.FileMode
	}{{"", 0o600}, {".pub", 0o644}, {"-cert.pub", 0o644}} {
		if _, err := b.stageFile(f.suffix, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// commitAndRecord puts the files in their places and keeps a note of the signing.
func (r Request) commitAndRecord(b *batch, cert *ssh.Certificate, isNew bool) (Result, error) {
	if err := b.commit(); err != nil {
		return Result{}, err
	}
	// The note is for counting alone: the certificate is good without it.
	_ = OpenJournal(r.State).Add(Entry{
		Time: time.Now().UTC(), Service: r.Name, Serial: cert.Serial, Until: key.Until(cert), Path: r.Path, Short: r.Short,
	})
	return Result{Path: r.Path, CertPath: r.Path + "-cert.pub", Cert: cert, NewKey: isNew, Bare: isNew && r.Ask == nil && !r.Short}, nil
}
