package signing

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// A NothingError reports that there is no pair of key and certificate to import.
type NothingError struct {
	Where string
	What  string // what is wrong with the files there; may be empty
}

func (e *NothingError) Error() string {
	s := "there is no key with its certificate in " + e.Where
	if e.What != "" {
		s += ": " + e.What
	}
	return s
}

// A SeveralError reports that a directory contains pairs of several authorities. The user has to name one.
type SeveralError struct {
	Where string
	Keys  []string // one private key of each authority
}

func (e *SeveralError) Error() string {
	return "there are keys of several authorities in " + e.Where + ": " + strings.Join(e.Keys, ", ")
}

// A Pair is a private key and its certificate, as a browser saved them.
type Pair struct {
	Key, Cert string // paths

	cert *ssh.Certificate
}

// Find finds a pair. file is the private key, the certificate, or a directory from which choosePair
// takes one. Find matches files by content, since browsers number what they save twice ("cscs-key
// (1)"). The key of a certificate may have any name and may be in the directory keysIn, unless that is "".
//
// Errors: *NothingError, *SeveralError, *regular.Error, and those of the file system.
func Find(file, keysIn string) (Pair, error) {
	dir, only := file, ""
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Pair{}, &NothingError{Where: file, What: "there is no such file"}
	case err != nil:
		return Pair{}, err
	}
	if !info.IsDir() {
		if err := regular.Check(file); err != nil {
			return Pair{}, err
		}
		dir, only = filepath.Dir(file), filepath.Base(file)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Pair{}, err
	}
	keys, certs := map[string]Pair{}, []Pair{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.IsDir() || info.Size() > 1<<16 || !strings.Contains(e.Name(), "key") && e.Name() != only {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if cert, err := readCert(path); err == nil {
			certs = append(certs, Pair{Cert: path, cert: cert})
			continue
		}
		if strings.HasSuffix(path, ".pub") {
			continue // as an argument it stands for the private key
		}
		if s := key.Inspect(path, time.Now(), nil); s.Exists && s.Public != nil {
			id := ssh.FingerprintSHA256(s.Public)
			if old, ok := keys[id]; !ok || filepath.Base(old.Key) != only {
				keys[id] = Pair{Key: path}
			}
		}
	}
	// The certificate that ends last comes first. A pair must include the file that was named.
	slices.SortStableFunc(certs, func(a, b Pair) int { return cmp.Compare(b.cert.ValidBefore, a.cert.ValidBefore) })
	what := ""
	var pairs []Pair
	for _, p := range certs {
		k, ok := keys[ssh.FingerprintSHA256(p.cert.Key)]
		for _, dir := range []string{dir, keysIn} {
			if !ok && dir != "" {
				k.Key = key.FindPrivate(dir, p.cert.Key)
				ok = k.Key != ""
			}
		}
		if !ok {
			cert := filepath.Base(p.Cert)
			what = "the key of " + cert + " is missing"
			for _, k := range keys {
				if name := filepath.Base(k.Key); name+"-cert.pub" == cert {
					what = cert + " certifies another key than " + name
				}
			}
			continue
		}
		if only == "" || only == filepath.Base(k.Key) || only == filepath.Base(p.Cert) {
			pairs = append(pairs, Pair{Key: k.Key, Cert: p.Cert, cert: p.cert})
		}
	}
	switch {
	case len(pairs) == 0:
		return Pair{}, &NothingError{Where: file, What: what}
	case only != "":
		return pairs[0], nil
	}
	return choosePair(dir, pairs)
}

// choosePair chooses one of the pairs in a directory, newest first. It prefers names like CSCS's, then
// valid certificates, then the newest. If several authorities remain, the error is a *SeveralError.
func choosePair(dir string, pairs []Pair) (Pair, error) {
	narrow := func(fits func(Pair) bool) {
		if slices.ContainsFunc(pairs, fits) {
			pairs = slices.DeleteFunc(pairs, func(p Pair) bool { return !fits(p) })
		}
	}
	now := time.Now()
	narrow(func(p Pair) bool { return strings.HasPrefix(filepath.Base(p.Key), "cscs-key") })
	narrow(func(p Pair) bool { return key.InTime(p.Cert, p.cert, now) == nil })
	var authorities, keys []string
	for _, p := range pairs {
		if by := string(p.cert.SignatureKey.Marshal()); !slices.Contains(authorities, by) {
			authorities, keys = append(authorities, by), append(keys, p.Key)
		}
	}
	if len(keys) > 1 {
		return Pair{}, &SeveralError{Where: dir, Keys: keys}
	}
	return pairs[0], nil
}

// isLeftInPlace reports whether Import leaves the private key of p where it is: in the directory of
// r.Path, under a name that the user chose and that other programs may use.
func (r Request) isLeftInPlace(p Pair) bool {
	at, to := realPath(p.Key), realPath(r.Path)
	return filepath.Dir(at) == filepath.Dir(to) && !strings.HasPrefix(filepath.Base(at), filepath.Base(to)+" ") && at != to
}

// importCertificate moves the certificate of a pair to r.Path's and leaves the key. It copies a
// certificate that is beside its key, because ssh looks for it there. It replaces no certificate of another key.
func (r Request) importCertificate(p Pair) (Result, error) {
	s := key.Inspect(r.Path, time.Now(), r.Held)
	if s.Public != nil && !bytes.Equal(s.Public.Marshal(), p.cert.Key.Marshal()) {
		return Result{}, &ReplaceError{Path: r.Path, What: "is another key than " + p.Key, Own: p.Key, From: p.Cert}
	}
	b := newBatch(r.Path)
	defer b.discard()
	file, err := b.stageFile(certPart)
	if err != nil {
		return Result{}, err
	}
	text, err := p.readValidCertificate()
	if err != nil {
		return Result{}, err
	}
	cert, err := r.acceptCertificate(text, p.cert.Key, authorityOf(s))
	if err != nil {
		return Result{}, err
	}
	stays := regular.Same(p.Cert, r.Path+"-cert.pub") || regular.Same(p.Cert, p.Key+"-cert.pub")
	if err := file.write(ssh.MarshalAuthorizedKey(cert)); err != nil {
		return Result{}, err
	}
	result, err := r.commitAndRecord(b, cert, false)
	if err != nil {
		return Result{}, err
	}
	result.Path = p.Key
	if stays {
		return result, nil
	}
	if err := os.Remove(p.Cert); err != nil {
		return result, &WriteError{Path: p.Cert, Err: regular.Reason(err)}
	}
	return result, nil
}

// readValidCertificate returns the text of the pair's certificate. That it is not valid now is the pair's
// fault, not a service's.
func (p Pair) readValidCertificate() ([]byte, error) {
	text, _, err := regular.Read(p.Cert)
	if err != nil {
		return nil, fmt.Errorf("import a key: %w", err)
	}
	return text, key.InTime(p.Cert, p.cert, time.Now())
}

// readCert reads the user certificate in a file.
func readCert(path string) (*ssh.Certificate, error) {
	data, _, err := regular.Read(path)
	if err != nil {
		return nil, err
	}
	return key.ParseCertificate(data)
}

// Import moves a pair to r.Path. It accepts only what Sign would accept, and otherwise changes nothing.
// An encrypted key keeps its passphrase.
//
// Errors: those of Sign; *key.ExpiredError, *key.NotYetValidError.
func Import(ctx context.Context, r Request, p Pair) (Result, error) {
	if err := r.checkFiles(); err != nil {
		return Result{}, err
	}
	release, err := lockKey(ctx, r.State, r.Path, r.Waiting)
	if err != nil {
		return Result{}, err
	}
	defer release()
	if _, err := sweepLeftovers(r.Path); err != nil {
		return Result{}, err
	}
	if r.isLeftInPlace(p) {
		return r.importCertificate(p)
	}
	keep := map[string]bool{p.Key: regular.Same(p.Key, r.Path), p.Cert: regular.Same(p.Cert, r.Path+"-cert.pub")}
	var by ssh.PublicKey // nil: the pair is in place already
	switch {
	case !keep[p.Key]:
		by, err = r.checkReplaceable()
	case !keep[p.Cert]:
		by = authorityOf(key.Inspect(r.Path, time.Now(), r.Held))
	}
	if err != nil {
		return Result{}, err
	}
	b := newBatch(r.Path)
	defer b.discard()
	if err := b.stageAll(); err != nil {
		return Result{}, err
	}
	data, _, err := regular.Read(p.Key)
	if err != nil {
		return Result{}, fmt.Errorf("import a key: %w", err)
	}
	defer clear(data)
	text, err := p.readValidCertificate()
	if err != nil {
		return Result{}, err
	}
	var result Result
	raw, err := ssh.ParseRawPrivateKey(data)
	var sealed *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &sealed):
		cert, err := r.acceptCertificate(text, p.cert.Key, by)
		if err != nil {
			return Result{}, err
		}
		if sealed.PublicKey != nil && !bytes.Equal(sealed.PublicKey.Marshal(), cert.Key.Marshal()) {
			return Result{}, &CertificateError{What: "it certifies another key"}
		}
		data = append(bytes.TrimRight(data, "\r\n"), '\n')
		if result, err = r.writePair(b, data, cert); err != nil {
			return Result{}, err
		}
		result.Bare = false // it has a passphrase
	case err != nil:
		return Result{}, &CertificateError{What: "what came with it is no private key"}
	default:
		if _, err := r.acceptCertificate(text, p.cert.Key, by); err != nil {
			return Result{}, err // before the user is asked
		}
		passphrase, err := r.newPassphrase(ctx)
		if err != nil {
			return Result{}, err
		}
		defer clear(passphrase)
		if result, err = r.installPair(b, raw, text, passphrase, by); err != nil {
			return Result{}, err
		}
	}
	for _, f := range []string{p.Key, p.Cert} {
		if keep[f] {
			continue // it is in place
		}
		if err := os.Remove(f); err != nil {
			return result, &WriteError{Path: f, Err: regular.Reason(err)}
		}
	}
	return result, nil
}
