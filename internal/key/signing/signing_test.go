package signing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a Service that signs what it is given, and spoils it.
type authority struct {
	t     testing.TB
	ca    ssh.Signer
	makes bool
	spoil func(*ssh.Certificate) // before it is signed
	after func([]byte) []byte    // of the certificate's line
	err   error
	asked int
	in    chan struct{} // if not nil, told when it is asked, and heard before it answers
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	return &authority{t: t, ca: newSigner(t)}
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func (a *authority) MakesKeys() bool { return a.makes }

func (a *authority) Certify(_ context.Context, pub ssh.PublicKey) (certificate, private []byte, err error) {
	a.asked++
	if a.in != nil {
		a.in <- struct{}{}
		<-a.in
	}
	if a.err != nil {
		return nil, nil, a.err
	}
	if a.makes {
		k := newKey(a.t)
		block, err := ssh.MarshalPrivateKey(k, "")
		if err != nil {
			a.t.Fatal(err)
		}
		private = pem.EncodeToMemory(block)
		signer, err := ssh.NewSignerFromKey(k)
		if err != nil {
			a.t.Fatal(err)
		}
		pub = signer.PublicKey()
	}
	return a.sign(pub), private, nil
}

func (a *authority) sign(pub ssh.PublicKey) []byte {
	now := time.Now()
	cert := &ssh.Certificate{Key: pub, CertType: ssh.UserCert, KeyId: "alice", ValidPrincipals: []string{"alice"}, Serial: uint64(a.asked),
		ValidAfter: uint64(now.Add(-time.Minute).Unix()), ValidBefore: uint64(now.Add(24 * time.Hour).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}}}
	if a.spoil != nil {
		a.spoil(cert)
	}
	if err := cert.SignCert(rand.Reader, a.ca); err != nil {
		a.t.Fatal(err)
	}
	line := ssh.MarshalAuthorizedKey(cert)
	if a.after != nil {
		line = a.after(line)
	}
	return line
}

// typist types one passphrase after the other.
type typist []string

func (p *typist) ReadSecret(context.Context, string) ([]byte, error) {
	if len(*p) == 0 {
		return nil, errors.New("nobody types any more")
	}
	s := (*p)[0]
	*p = (*p)[1:]
	return []byte(s), nil
}

func (p *typist) NewPassphrase(ctx context.Context, path string) ([]byte, error) {
	return p.ReadSecret(ctx, path)
}

func request(t *testing.T, s Service) Request {
	t.Helper()
	dir := t.TempDir()
	return Request{Service: s, Name: "test", Path: filepath.Join(dir, "home", ".ssh", "cscs-key"), State: filepath.Join(dir, "state"), Comment: "alice@laptop"}
}

// tree is all that is in a directory: names, permissions, contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = info.Mode().String() + "\n" + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSign: a key is made, signed, and signed again; all is as ssh wants it.
func TestSign(t *testing.T) {
	for name, makes := range map[string]bool{"our key": false, "the service's": true} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			a.makes = makes
			r := request(t, a)
			r.Ask = &typist{"a pass phrase", ""}
			first, err := Sign(t.Context(), r)
			if err != nil || !first.NewKey {
				t.Fatalf("%+v %v", first, err)
			}
			s := key.Inspect(r.Path, time.Now(), nil)
			if s.Problem != nil || !s.Encrypted || s.Comment != "alice@laptop" || s.Cert.Serial != 1 {
				t.Errorf("%+v", s)
			}
			want := map[string]string{"cscs-key": "-rw-------", "cscs-key.pub": "-rw-r--r--", "cscs-key-cert.pub": "-rw-r--r--"}
			got := map[string]string{}
			for name, content := range tree(t, filepath.Dir(r.Path)) {
				got[name], _, _ = strings.Cut(content, "\n")
			}
			if d := cmp.Diff(want, got); d != "" && runtime.GOOS != "windows" {
				t.Error(d)
			}
			if info, err := os.Stat(filepath.Dir(r.Path)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v %v", info, err)
			}
			second, err := Sign(t.Context(), r)
			if err != nil || second.Cert.Serial != 2 || second.NewKey != makes {
				t.Errorf("%+v %v", second, err)
			}
			if same := bytes.Equal(first.Cert.Key.Marshal(), second.Cert.Key.Marshal()); same == makes {
				t.Errorf("the same key: %v", same)
			}
			j := OpenJournal(r.State)
			if n := j.Used("test", time.Now()); n != 2 {
				t.Errorf("%d are counted", n)
			}
			if err := j.Revoke(2); err != nil || j.Used("test", time.Now()) != 1 || j.Used("test", time.Now().Add(25*time.Hour)) != 0 || j.Used("other", time.Now()) != 0 || j.Used("test", time.Now(), "other") != 1 || j.Used("other", time.Now(), "test") != 1 {
				t.Errorf("%v: %+v", err, j.read())
			}
		})
	}
}

// TestJournalLatest: the service that signed last is the one that is told of, unless it counts none.
func TestJournalLatest(t *testing.T) {
	j := OpenJournal(t.TempDir())
	any := func(string) bool { return true }
	if got := j.Latest(any); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	for _, e := range []Entry{{Service: "cscs"}, {Service: "sshservice"}, {Service: "import"}, {Service: "robot", Short: true}} {
		e.Time = time.Now()
		if err := j.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := j.Latest(any); got != "import" {
		t.Errorf("got %q", got)
	}
	if got := j.Latest(func(name string) bool { return name != "import" }); got != "sshservice" {
		t.Errorf("got %q", got)
	}
}

// TestSignNoFile: where something else than a file is, no service is asked and nothing is written
// beside it.
func TestSignNoFile(t *testing.T) {
	a := newAuthority(t)
	for _, makes := range []bool{false, true} {
		a.makes = makes
		for _, path := range []string{t.TempDir(), os.DevNull} {
			r := request(t, a)
			r.Path = path
			var file *key.FileError
			if _, err := Sign(t.Context(), r); !errors.As(err, &file) || a.asked != 0 {
				t.Errorf("%s: %v, asked %d times", path, err, a.asked)
			}
		}
	}
}

// TestSignInTheWay: where something else than a file is in place of the certificate or the public
// key, no service is asked.
func TestSignInTheWay(t *testing.T) {
	a := newAuthority(t)
	for _, suffix := range []string{".pub", "-cert.pub"} {
		for _, makes := range []bool{false, true} {
			if !makes && suffix == ".pub" {
				continue // our own key's is not written again
			}
			r := request(t, a)
			a.makes, a.asked = makes, 0
			if _, err := Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Remove(r.Path+suffix), os.Mkdir(r.Path+suffix, 0o700)); err != nil {
				t.Fatal(err)
			}
			var file *key.FileError
			if _, err := Sign(t.Context(), r); !errors.As(err, &file) || file.Fix == "" || a.asked != 1 {
				t.Errorf("%s, makes=%v: %v, asked %d times", suffix, makes, err, a.asked)
			}
		}
	}
}

// TestSignShort: a service account's new key has no passphrase, also on a terminal; that of an old
// key which does not tell its public half is asked for.
func TestSignShort(t *testing.T) {
	a := newAuthority(t)
	r := request(t, a)
	r.Short, r.Ask = true, &typist{}
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(ecdsaKey(t))
	if err != nil {
		t.Fatal(err)
	}
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte("hush"), x509.PEMCipherAES256) //nolint:staticcheck // as old keys are
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{r.Path + ".pub", r.Path + "-cert.pub"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(r.Path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Ask = &typist{"hush"}
	if _, err := Sign(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func ecdsaKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSignGivenUp: who gives up at the question for a passphrase has lost no signing.
func TestSignGivenUp(t *testing.T) {
	for name, makes := range map[string]bool{"our key": false, "the service's": true} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			a.makes = makes
			r := request(t, a)
			r.Ask = &typist{}
			if _, err := Sign(t.Context(), r); err == nil {
				t.Fatal("it was signed")
			}
			if a.asked != 0 {
				t.Errorf("the service was asked %d times", a.asked)
			}
		})
	}
}

// TestSignForLess: a certificate that is for less than a tunnel needs is what there is to be had.
func TestSignForLess(t *testing.T) {
	a := newAuthority(t)
	a.spoil = func(c *ssh.Certificate) { c.Extensions = nil }
	result, err := Sign(t.Context(), request(t, a))
	if err != nil {
		t.Fatal(err)
	}
	var unfit *key.UnfitError
	if s := key.Inspect(result.Path, time.Now(), nil); !errors.As(s.Problem, &unfit) || unfit.Why != key.NoForwarding {
		t.Errorf("%+v", s)
	}
}

// TestSignKeepsWhatIsThere: nothing but a certificate that is good in every way changes a
// byte, and nothing is left lying about.
func TestSignKeepsWhatIsThere(t *testing.T) {
	for name, spoil := range map[string]func(*authority){
		"an error": func(a *authority) { a.err = errors.New("no") },
		"over": func(a *authority) {
			a.spoil = func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Unix()) - 1 }
		},
		"to come": func(a *authority) {
			a.spoil = func(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Unix()) + 3600 }
		},
		"another key": func(a *authority) { a.spoil = func(c *ssh.Certificate) { c.Key = newSigner(t).PublicKey() } },
		"a host's":    func(a *authority) { a.spoil = func(c *ssh.Certificate) { c.CertType = ssh.HostCert } },
		"nobody's":    func(a *authority) { a.spoil = func(c *ssh.Certificate) { c.ValidPrincipals = nil } },
		"odd options": func(a *authority) {
			a.spoil = func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"dance": "yes"} }
		},
		"empty":         func(a *authority) { a.after = func([]byte) []byte { return nil } },
		"no key at all": func(a *authority) { a.after = func([]byte) []byte { return []byte("<html>") } },
		"half":          func(a *authority) { a.after = func(b []byte) []byte { return b[:len(b)/2] } },
		"forged": func(a *authority) {
			a.after = func(b []byte) []byte {
				pub, _, _, _, err := ssh.ParseAuthorizedKey(b)
				if err != nil {
					a.t.Fatal(err)
				}
				cert := pub.(*ssh.Certificate)
				cert.ValidPrincipals = []string{"mallory"}
				return ssh.MarshalAuthorizedKey(cert)
			}
		},
	} {
		for _, makes := range []bool{false, true} {
			for _, there := range []bool{true, false} {
				if !there && name != "forged" && name != "an error" {
					continue // each is an fsync or eight
				}
				a := newAuthority(t)
				r := request(t, a)
				if there {
					if _, err := Sign(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				} else if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
					t.Fatal(err)
				}
				before := tree(t, filepath.Dir(r.Path))
				spoil(a)
				if a.makes = makes; makes && name == "another key" {
					a.spoil = func(c *ssh.Certificate) { c.Key = a.ca.PublicKey() }
				}
				if _, err := Sign(t.Context(), r); err == nil {
					t.Errorf("%s, makes=%v: taken", name, makes)
				}
				if d := cmp.Diff(before, tree(t, filepath.Dir(r.Path))); d != "" {
					t.Errorf("%s, makes=%v, there=%v: %s", name, makes, there, d)
				}
				if n := OpenJournal(r.State).Used("test", time.Now()); there && n != 1 || !there && n != 0 {
					t.Errorf("%s: %d are counted", name, n)
				}
			}
		}
	}
}

// TestCommitGoesBack: where a later file cannot be put, the earlier ones are as before.
func TestCommitGoesBack(t *testing.T) {
	a := newAuthority(t)
	a.makes = true
	r := request(t, a)
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	cert := r.Path + "-cert.pub"
	before := tree(t, filepath.Dir(r.Path))
	delete(before, "cscs-key-cert.pub")
	a.after = func(line []byte) []byte { // while the service is asked
		if err := errors.Join(os.Remove(cert), os.MkdirAll(filepath.Join(cert, "in the way"), 0o700)); err != nil {
			t.Error(err)
		}
		return line
	}
	var failed *WriteError
	if _, err := Sign(t.Context(), r); !errors.As(err, &failed) || a.asked != 2 {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, tree(t, filepath.Dir(r.Path))); d != "" {
		t.Error(d)
	}
}

// TestSpare: a key that was never signed is somebody's for something else: neither a service
// that makes keys nor one that is brought in takes its place.
func TestSpare(t *testing.T) {
	a := newAuthority(t)
	a.makes = true
	r := request(t, a)
	if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	sealed, err := encodePrivateKey(newKey(t), "mine", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Path, sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, filepath.Dir(r.Path))
	var replace *ReplaceError
	if _, err := Sign(t.Context(), r); !errors.As(err, &replace) || a.asked != 0 {
		t.Errorf("%v; the service was asked %d times", err, a.asked)
	}
	dir := t.TempDir()
	pair := savePair(t, a, dir)
	if _, err := Import(t.Context(), r, pair); !errors.As(err, &replace) {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, tree(t, filepath.Dir(r.Path))); d != "" {
		t.Error(d)
	}
	a.makes = false // our own key may well be signed
	if _, err := Sign(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// savePair saves a key and its certificate as a browser does.
func savePair(t *testing.T, a *authority, dir string) Pair {
	t.Helper()
	k := newKey(t)
	sealed, err := encodePrivateKey(k, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"cscs-key": sealed, "cscs-key-cert.pub": a.sign(signer.PublicKey())} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Find(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestImportInPlace: a pair that is where it belongs stays there, however it is called.
func TestImportInPlace(t *testing.T) {
	a := newAuthority(t)
	r := request(t, nil)
	dir := filepath.Dir(r.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	savePair(t, a, dir)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(dir))
	for _, name := range []string{filepath.Base(dir), filepath.Join(filepath.Base(dir), "..", filepath.Base(dir), "cscs-key"), link, r.Path} {
		p, err := Find(name, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Import(t.Context(), r, p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s := key.Inspect(r.Path, time.Now(), nil); s.Problem != nil || !s.Exists {
			t.Fatalf("%s: %+v", name, s)
		}
	}
}

// TestKeepsTheBetter: a certificate that is for less than the one that is there is not taken.
func TestKeepsTheBetter(t *testing.T) {
	a := newAuthority(t)
	r := request(t, a)
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := tree(t, filepath.Dir(r.Path))
	a.spoil = func(c *ssh.Certificate) { c.Extensions = nil }
	var bad *CertificateError
	if _, err := Sign(t.Context(), r); !errors.As(err, &bad) || !strings.Contains(bad.What, "port forwarding") {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, tree(t, filepath.Dir(r.Path))); d != "" {
		t.Error(d)
	}
}

// TestTwoAtOnce: the second takes what the first has got; if the first gets nothing, it
// asks for itself.
func TestTwoAtOnce(t *testing.T) {
	for name, fails := range map[string]bool{"good": false, "the first fails": true} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			a.in = make(chan struct{})
			r := request(t, a)
			waits := make(chan struct{})
			other := newAuthority(t)
			second := r
			second.Service, second.Waiting = other, func() { close(waits) }
			var wg sync.WaitGroup
			var errs [2]error
			var results [2]Result
			wg.Go(func() { results[0], errs[0] = Sign(t.Context(), r) })
			<-a.in // it holds the lock, and is at the service
			wg.Go(func() { results[1], errs[1] = Sign(t.Context(), second) })
			<-waits
			if fails {
				a.err = errors.New("no")
			}
			a.in <- struct{}{}
			wg.Wait()
			if (errs[0] != nil) != fails || errs[1] != nil || results[1].Meanwhile == fails || other.asked != map[bool]int{true: 1}[fails] {
				t.Errorf("%v %v, %+v, %d asked", errs[0], errs[1], results[1], other.asked)
			}
		})
	}
}

// TestDoneMeanwhile: two commands see that a key has to be signed, and both are told to. The second
// takes the certificate of the first, also if it need not wait for it; if that is
// of no use, it has one signed.
func TestDoneMeanwhile(t *testing.T) {
	a := newAuthority(t)
	r := request(t, a)
	r.Before = new(key.Inspect(r.Path, time.Now(), nil))
	first, err := Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Sign(t.Context(), r)
	if err != nil || !second.Meanwhile || a.asked != 1 || !bytes.Equal(first.Cert.Marshal(), second.Cert.Marshal()) {
		t.Errorf("%+v %v, asked %d times", second, err, a.asked)
	}
	r.Before = new(key.Inspect(r.Path, time.Now(), nil)) // who has seen that one wants another
	if third, err := Sign(t.Context(), r); err != nil || third.Meanwhile || a.asked != 2 {
		t.Errorf("%+v %v, asked %d times", third, err, a.asked)
	}
	a.spoil = func(c *ssh.Certificate) { c.Extensions = nil }
	r.Path += "-2"
	r.Before = new(key.Inspect(r.Path, time.Now(), nil))
	if _, err := Sign(t.Context(), r); err != nil { // for less than a tunnel needs
		t.Fatal(err)
	}
	a.spoil = nil
	if again, err := Sign(t.Context(), r); err != nil || again.Meanwhile || a.asked != 4 {
		t.Errorf("%+v %v, asked %d times", again, err, a.asked)
	}
}

// TestRekey: another passphrase, and none; key and comment stay.
func TestRekey(t *testing.T) {
	r := request(t, newAuthority(t))
	if _, err := Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := key.Inspect(r.Path, time.Now(), nil)
	for _, c := range []struct {
		typed     typist
		protected bool
	}{{typist{"new"}, true}, {typist{"wrong", "new", ""}, false}} {
		r.Ask = &c.typed
		protected, err := Rekey(t.Context(), r)
		s := key.Inspect(r.Path, time.Now(), nil)
		if err != nil || protected != c.protected || s.Encrypted != c.protected || s.Problem != nil || s.Comment != before.Comment ||
			!bytes.Equal(s.Public.Marshal(), before.Public.Marshal()) {
			t.Errorf("%v %v: %+v", protected, err, s)
		}
	}
	was := tree(t, filepath.Dir(r.Path))
	r.Ask = &typist{} // who does not answer
	if _, err := Rekey(t.Context(), r); err == nil {
		t.Error("done, with a passphrase that nobody typed")
	}
	if d := cmp.Diff(was, tree(t, filepath.Dir(r.Path))); d != "" {
		t.Error(d)
	}
}

// TestImport: of what lies about in a directory the pair that fits and lasts is taken, with
// the passphrase that it has.
func TestImport(t *testing.T) {
	a := newAuthority(t)
	save := func(dir, name, certName, passphrase string, last time.Duration) {
		t.Helper()
		k := newKey(t)
		sealed, err := encodePrivateKey(k, "", []byte(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(k)
		if err != nil {
			t.Fatal(err)
		}
		a.spoil = func(c *ssh.Certificate) { c.ValidBefore = uint64(time.Now().Add(last).Unix()) }
		for name, data := range map[string][]byte{name: sealed, certName: a.sign(signer.PublicKey())} {
			if name == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	var nothing *NothingError
	for _, where := range []string{dir, filepath.Join(dir, "nowhere")} {
		if _, err := Find(where, ""); !errors.As(err, &nothing) {
			t.Errorf("in %s: %v", where, err)
		}
	}
	save(dir, "", "cscs-key-cert (2).pub", "", 30*time.Hour) // its key is not there
	if _, err := Find(dir, ""); !errors.As(err, &nothing) || !strings.Contains(nothing.What, "missing") {
		t.Errorf("without the key: %v", err)
	}
	mixed := t.TempDir()
	save(mixed, "cscs-key", "cscs-key-cert.pub", "", time.Hour)
	save(mixed, "", "cscs-key-cert.pub", "", time.Hour)
	if _, err := Find(mixed, ""); !errors.As(err, &nothing) || nothing.What != "cscs-key-cert.pub certifies another key than cscs-key" {
		t.Errorf("with another's certificate: %v", err)
	}
	save(dir, "cscs-key", "cscs-key-cert.pub", "", time.Hour)
	save(dir, "cscs-key (1)", "cscs-key-cert (1).pub", "", 20*time.Hour)
	p, err := Find(dir, "")
	if err != nil || filepath.Base(p.Key) != "cscs-key (1)" {
		t.Errorf("%+v %v", p, err)
	}
	if p, err = Find(filepath.Join(dir, "cscs-key"), ""); err != nil || filepath.Base(p.Key) != "cscs-key" || filepath.Base(p.Cert) != "cscs-key-cert.pub" {
		t.Errorf("by name: %+v %v", p, err)
	}
	r := request(t, nil)
	if _, err := Import(t.Context(), r, p); err != nil {
		t.Fatal(err)
	}
	if s := key.Inspect(r.Path, time.Now(), nil); s.Problem != nil || s.Encrypted {
		t.Errorf("%+v", s)
	}
	if _, err := os.Stat(p.Key); err == nil {
		t.Error("it was not moved")
	}
	save(dir, "cscs-key sealed", "cscs-key sealed-cert.pub", "hush", 23*time.Hour)
	if p, err = Find(dir, ""); err != nil || filepath.Base(p.Key) != "cscs-key sealed" {
		t.Fatalf("%+v %v", p, err)
	}
	if _, err := Import(t.Context(), r, p); err != nil {
		t.Fatal(err)
	}
	if s := key.Inspect(r.Path, time.Now(), nil); s.Problem != nil || !s.Encrypted {
		t.Errorf("%+v", s)
	}
	// An old one, named: what is there stays.
	save(dir, "old-key", "old-key-cert.pub", "", -time.Hour)
	before := tree(t, filepath.Dir(filepath.Dir(r.Path)))
	if p, err = Find(filepath.Join(dir, "old-key-cert.pub"), ""); err != nil {
		t.Fatal(err)
	}
	var over *key.ExpiredError
	if _, err := Import(t.Context(), r, p); !errors.As(err, &over) || over.Path != p.Cert {
		t.Errorf("%v", err)
	}
	if d := cmp.Diff(before, tree(t, filepath.Dir(filepath.Dir(r.Path)))); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(p.Key); err != nil {
		t.Error("it was taken away")
	}
}

// TestInterrupted: who waits for another process, and is told to stop, stops.
func TestInterrupted(t *testing.T) {
	r := request(t, newAuthority(t))
	release, err := lockKey(t.Context(), r.State, r.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	gone := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	r.Waiting = func() { cancel(gone) }
	if _, err := Sign(ctx, r); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// FuzzVerify: whatever a service says is a certificate, what is taken is one for this key,
// for somebody, now.
func FuzzVerify(f *testing.F) {
	a := newAuthority(f)
	pub := newSigner(f).PublicKey()
	f.Add(a.sign(pub))
	f.Add(a.sign(newSigner(f).PublicKey()))
	f.Add(ssh.MarshalAuthorizedKey(pub))
	f.Add([]byte("ssh-ed25519-cert-v01@openssh.com AAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		now := time.Now()
		cert, err := verifyCertificate(text, pub, now)
		if err != nil {
			return
		}
		if !bytes.Equal(cert.Key.Marshal(), pub.Marshal()) || len(cert.ValidPrincipals) == 0 || uint64(now.Unix()) >= cert.ValidBefore {
			t.Errorf("taken: %+v", cert)
		}
		if again, err := verifyCertificate(ssh.MarshalAuthorizedKey(cert), pub, now); err != nil || again.Serial != cert.Serial {
			t.Errorf("what is written cannot be read: %v", err)
		}
	})
}

// FuzzJournal: of a file that anybody may have changed, only lines count that are ours.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-25T10:00:00Z","service":"cscs","serial":"7","until":"2026-11-26T10:00:00Z","path":"/k"}` + "\nnull\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range parseJournal(data) {
			if e.Known.Time.IsZero() {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestJournalOfAnotherVersion: to record and to revoke a signing keeps the fields that another version has written.
func TestJournalOfAnotherVersion(t *testing.T) {
	j, now := OpenJournal(t.TempDir()), time.Now().UTC().Truncate(time.Second)
	line := `{"time":"` + now.Format(time.RFC3339) + `","service":"cscs","serial":"7","colour":"red"}`
	if err := os.WriteFile(j.path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Add(Entry{Time: now, Service: "cscs", Serial: 8}), j.Revoke(7)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(j.path)
	if err != nil || strings.Count(string(text), `"revoked":true,"colour":"red"}`) != 1 || strings.Count(string(text), "\n") != 2 {
		t.Errorf("%s, %v", text, err)
	}
	if used := j.Used("cscs", now); used != 1 {
		t.Errorf("%d are used", used)
	}
}
