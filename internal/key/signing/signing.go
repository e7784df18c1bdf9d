// Package signing gets a key certified and puts key and certificate where ssh looks for
// them: all of it or nothing.
//
// What was there stays as it is until the new certificate has been read, fits the key,
// bears a signature that is its authority's, and is valid now. Room for the new files is taken
// before the service is asked, so that a full or read-only disk costs none of the
// day's signings. Two processes at once are one signing: the second waits, and takes what
// the first has got.
package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

	// Ask is who is asked for passphrases; nil: nobody, and a new key has none.
	Ask Prompter
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
	NewKey         bool // the key was made for it
	Meanwhile      bool // by another process, while this one waited
}

// Sign gets a certificate for the key of r.Path, which is made if it is not there.
//
// Errors: the service's; *CertificateError, *WriteError, *BusyError; those of key.Open;
// the cause of ctx if that ended.
func Sign(ctx context.Context, r Request) (Result, error) {
	began := time.Now()
	release, waited, err := lock(ctx, r.State, r.Path, r.Waiting)
	if err != nil {
		return Result{}, err
	}
	defer release()
	sweep(r.Path)
	if waited {
		// The other's clock is ours, and its certificate was written since.
		s := key.Inspect(r.Path, time.Now())
		if info, err := os.Stat(s.CertPath); err == nil && s.Problem == nil && !info.ModTime().Before(began.Truncate(time.Second)) {
			return Result{Path: r.Path, CertPath: s.CertPath, Cert: s.Cert, Meanwhile: true}, nil
		}
	}
	if r.Service.MakesKeys() {
		return r.fetch(ctx)
	}
	return r.certify(ctx)
}

// certify has our own key signed.
func (r Request) certify(ctx context.Context) (Result, error) {
	certFile, err := stage(r.Path+"-cert.pub", 0o644)
	if err != nil {
		return Result{}, err
	}
	defer certFile.discard()
	files := []*staged{certFile}
	pub, err := publicOf(ctx, r.Path, r.Ask)
	var missing *key.MissingError
	isNew := errors.As(err, &missing)
	if isNew {
		var made []*staged
		if pub, made, err = r.generate(ctx); err == nil {
			files = append(made, certFile)
		}
		for _, f := range made {
			defer f.discard()
		}
	}
	if err != nil {
		return Result{}, err
	}
	text, _, err := r.Service.Certify(ctx, pub)
	if err != nil {
		return Result{}, err
	}
	cert, err := verify(text, pub, time.Now())
	if err != nil {
		return Result{}, err
	}
	if err := certFile.write(ssh.MarshalAuthorizedKey(cert)); err != nil {
		return Result{}, err
	}
	return r.finish(files, cert, isNew)
}

// fetch takes key and certificate from a service that makes both.
func (r Request) fetch(ctx context.Context) (Result, error) {
	files, err := r.stageAll()
	defer func() {
		for _, f := range files {
			f.discard()
		}
	}()
	if err != nil {
		return Result{}, err
	}
	text, private, err := r.Service.Certify(ctx, nil)
	if err != nil {
		return Result{}, err
	}
	defer clear(private)
	raw, err := ssh.ParseRawPrivateKey(private)
	if err != nil {
		return Result{}, &CertificateError{What: "what came with it is no private key"}
	}
	return r.install(ctx, files, raw, text)
}

// install writes a pair that came from elsewhere, with a passphrase of the user's.
func (r Request) install(ctx context.Context, files []*staged, raw any, text []byte) (Result, error) {
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return Result{}, &CertificateError{What: "what came with it is no private key that can be used"}
	}
	cert, err := verify(text, signer.PublicKey(), time.Now())
	if err != nil {
		return Result{}, err
	}
	var passphrase []byte
	if r.Ask != nil {
		if passphrase, err = r.Ask.NewPassphrase(ctx, r.Path); err != nil {
			return Result{}, err
		}
		defer clear(passphrase)
	}
	sealed, err := seal(raw, r.Comment, passphrase)
	if err != nil {
		return Result{}, err
	}
	defer clear(sealed)
	for i, data := range [][]byte{sealed, publicLine(signer.PublicKey(), r.Comment), ssh.MarshalAuthorizedKey(cert)} {
		if err := files[i].write(data); err != nil {
			return Result{}, err
		}
	}
	return r.finish(files, cert, true)
}

// stageAll takes room for key, public key and certificate.
func (r Request) stageAll() (files []*staged, err error) {
	for _, f := range []struct {
		suffix string
		mode   fs.FileMode
	}{{"", 0o600}, {".pub", 0o644}, {"-cert.pub", 0o644}} {
		s, err := stage(r.Path+f.suffix, f.mode)
		if err != nil {
			return files, err
		}
		files = append(files, s)
	}
	return files, nil
}

// finish puts the files in their places and keeps a note of the signing.
func (r Request) finish(files []*staged, cert *ssh.Certificate, isNew bool) (Result, error) {
	if err := commit(files); err != nil {
		return Result{}, err
	}
	// The note is for counting alone: the certificate is good without it.
	_ = OpenJournal(r.State).Add(Entry{
		Time: time.Now().UTC(), Service: r.Name, Serial: cert.Serial, Until: key.Until(cert), Path: r.Path, Short: r.Short,
	})
	return Result{Path: r.Path, CertPath: r.Path + "-cert.pub", Cert: cert, NewKey: isNew}, nil
}

// publicOf is the public half of the key at path; only an old encrypted file without its
// .pub has to be opened for it.
func publicOf(ctx context.Context, path string, ask Prompter) (ssh.PublicKey, error) {
	s := key.Inspect(path, time.Now())
	if s.Public != nil && s.Exists {
		return s.Public, nil
	}
	if s.Public != nil { // the private half is elsewhere: in an agent, or on a token
		return s.Public, nil
	}
	if !s.Exists && s.Problem != nil {
		return nil, s.Problem
	}
	var prompter key.Prompter
	if ask != nil {
		prompter = ask
	}
	raw, passphrase, err := key.Open(ctx, path, prompter)
	if err != nil {
		return nil, err
	}
	clear(passphrase)
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, &key.FileError{Path: path, What: "it is no private key that can be used from here", Err: err}
	}
	return signer.PublicKey(), nil
}

// generate makes an Ed25519 key, in files that are not in their places yet.
func (r Request) generate(ctx context.Context) (ssh.PublicKey, []*staged, error) {
	var passphrase []byte
	var err error
	if r.Ask != nil {
		if passphrase, err = r.Ask.NewPassphrase(ctx, r.Path); err != nil {
			return nil, nil, err
		}
		defer clear(passphrase)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	sealed, err := seal(private, r.Comment, passphrase)
	if err != nil {
		return nil, nil, err
	}
	defer clear(sealed)
	var files []*staged
	for _, f := range []struct {
		path string
		mode fs.FileMode
		data []byte
	}{{r.Path, 0o600, sealed}, {r.Path + ".pub", 0o644, publicLine(signer.PublicKey(), r.Comment)}} {
		s, err := stage(f.path, f.mode)
		if err == nil {
			files = append(files, s)
			err = s.write(f.data)
		}
		if err != nil {
			return nil, files, err
		}
	}
	return signer.PublicKey(), files, nil
}

// seal is a private key in OpenSSH's own format (PROTOCOL.key), encrypted if there is a
// passphrase.
func seal(private any, comment string, passphrase []byte) ([]byte, error) {
	block, err := ssh.MarshalPrivateKey(private, comment)
	if len(passphrase) > 0 {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, comment, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// publicLine is a public key as ssh-keygen writes it.
func publicLine(pub ssh.PublicKey, comment string) []byte {
	line := bytes.TrimSuffix(ssh.MarshalAuthorizedKey(pub), []byte("\n"))
	return fmt.Appendf(line, " %s\n", comment)
}

// realPath is where a file really is: it may be a link to a directory of somebody's dotfiles.
func realPath(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	return path
}
