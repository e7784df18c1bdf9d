package key

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// home is a ~/.ssh of a test's own.
type home struct {
	t   *testing.T
	dir string
	ca  ssh.Signer
}

func newHome(t *testing.T) *home {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir) // Windows'
	dir = filepath.Join(dir, ".ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &home{t, dir, sshtest.NewKey(t)}
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) write(name string, data []byte, mode os.FileMode) string {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), data, mode); err != nil {
		h.t.Fatal(err)
	}
	return h.path(name)
}

// key writes a private key and its .pub.
func (h *home) key(name string) ed25519.PrivateKey {
	h.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(name, pem.EncodeToMemory(block), 0o600)
	h.write(name+".pub", line(signerOf(h.t, key).PublicKey(), "alice@laptop"), 0o644)
	return key
}

// encrypted writes a private key with the passphrase "geheim". It is a file of
// the tests', made by ssh-keygen -a 1: those that x/crypto makes take a second
// to open under the race detector.
func (h *home) encrypted(name string) ed25519.PrivateKey {
	h.t.Helper()
	data, err := os.ReadFile("testdata/encrypted")
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(name, data, 0o600)
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase(data, []byte("geheim"))
	if err != nil {
		h.t.Fatal(err)
	}
	key := *raw.(*ed25519.PrivateKey)
	h.write(name+".pub", line(signerOf(h.t, key).PublicKey(), "alice@laptop"), 0o644)
	return key
}

// cert writes a certificate for key beside it.
func (h *home) cert(name string, key ed25519.PrivateKey, change ...func(*ssh.Certificate)) *ssh.Certificate {
	h.t.Helper()
	cert := sshtest.UserCert(h.t, h.ca, signerOf(h.t, key).PublicKey(), []string{"alice"}, change...)
	h.write(name+"-cert.pub", line(cert, "signed"), 0o644)
	return cert
}

func (h *home) source() Source { return Source{Dir: h.dir, IdentityAgent: "none"} }

func signerOf(t *testing.T, key any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func line(pub ssh.PublicKey, comment string) []byte {
	return []byte(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))) + " " + comment + "\n")
}

func expired(c *ssh.Certificate) {
	c.ValidAfter = uint64(time.Now().Add(-48 * time.Hour).Unix())
	c.ValidBefore = uint64(time.Now().Add(-24 * time.Hour).Unix())
}

func future(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Add(time.Hour).Unix()) }

// prompter answers with one passphrase after the other.
type prompter struct {
	answers []string
	prompts []string
	err     error
	asked   func() // if not nil, called at each prompt
}

func (p *prompter) ReadSecret(_ context.Context, prompt string) ([]byte, error) {
	p.prompts = append(p.prompts, prompt)
	if p.asked != nil {
		p.asked()
	}
	if p.err != nil {
		return nil, p.err
	}
	answer := p.answers[0]
	if len(p.answers) > 1 {
		p.answers = p.answers[1:]
	}
	return []byte(answer), nil
}

// works fails the test unless the identity's signer signs for what it shows.
func works(t *testing.T, id *Identity) {
	t.Helper()
	sig, err := id.Signer.Sign(rand.Reader, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	pub := id.Signer.PublicKey()
	if id.Cert != nil {
		pub = id.Cert.Key
	}
	if err := pub.Verify([]byte("data"), sig); err != nil {
		t.Error(err)
	}
}

// TestChoice: which of several keys is offered.
func TestChoice(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(h *home, from *Source)
		want  string // base name of Path; with + if with a certificate
	}{
		{"CSCS's key", func(h *home, _ *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.key("id_ed25519")
		}, "cscs-key+"},
		{"without .pub, as the old service made it", func(h *home, _ *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			_ = os.Remove(h.path("cscs-key.pub"))
		}, "cscs-key+"},
		{"configured before CSCS's", func(h *home, from *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.key("work")
			from.IdentityFiles = []string{h.path("absent"), h.path("work")}
		}, "work"},
		{"configured for all hosts", func(h *home, from *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.key("work")
			from.IdentityFiles, from.Common = []string{h.path("work")}, []string{h.path("work")}
		}, "cscs-key+"},
		{"configured for all hosts, with a certificate of all hosts' own", func(h *home, from *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.cert("work", h.key("work"))
			from.IdentityFiles, from.CertificateFiles = []string{h.path("work")}, []string{h.path("work-cert.pub")}
			from.Common = []string{h.path("work"), h.path("work-cert.pub")}
		}, "cscs-key+"},
		{"configured for all hosts, and nothing is signed", func(h *home, from *Source) {
			h.key("cscs-key")
			h.key("work")
			from.IdentityFiles, from.Common = []string{h.path("work")}, []string{h.path("work")}
		}, "work"},
		{"default name configured for all hosts", func(h *home, from *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.key("id_rsa")
			from.IdentityFiles = []string{h.path("id_rsa")}
		}, "cscs-key+"},
		{"default name with nothing better", func(h *home, from *Source) {
			h.key("id_rsa")
			h.key("id_ed25519")
			from.IdentityFiles = []string{h.path("id_rsa")}
		}, "id_rsa"},
		{"ssh's own choice", func(h *home, _ *Source) {
			h.key("id_rsa")
			h.key("id_ed25519")
		}, "id_ed25519"},
		{"the valid one of two", func(h *home, from *Source) {
			h.cert("old", h.key("old"), expired)
			h.cert("new", h.key("new"))
			from.IdentityFiles = []string{h.path("old"), h.path("new")}
		}, "new+"},
		{"certificate in a file of its own", func(h *home, from *Source) {
			key := h.key("work")
			h.cert("elsewhere", key)
			h.cert("other", h.key("other"))
			from.IdentityFiles = []string{h.path("work")}
			from.CertificateFiles = []string{h.path("other-cert.pub"), h.path("elsewhere-cert.pub")}
		}, "work+"},
		{"--identity", func(h *home, from *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.key("mine")
			from.Identity = h.path("mine")
		}, "mine"},
		{"--identity is the .pub", func(h *home, from *Source) {
			h.key("mine")
			from.Identity = h.path("mine.pub")
		}, "mine"},
		{"--identity is the certificate", func(h *home, from *Source) {
			h.cert("mine", h.key("mine"))
			from.Identity = h.path("mine-cert.pub")
		}, "mine+"},
		{"bare CSCS key if there is no other", func(h *home, _ *Source) { h.key("cscs-key") }, "cscs-key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			from := h.source()
			tt.setup(h, &from)
			id, err := Load(t.Context(), from, nil)
			if err != nil {
				t.Fatal(err)
			}
			works(t, id)
			got := filepath.Base(id.Path)
			if id.Cert != nil {
				got += "+"
			}
			if got != tt.want {
				t.Errorf("chose %s, want %s", got, tt.want)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	h := newHome(t)
	key := h.key("cscs-key")
	cert := h.cert("cscs-key", key)
	id, err := Load(t.Context(), h.source(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := id.Principal(); got != "alice" {
		t.Errorf("principal %q", got)
	}
	if id.Comment != "alice@laptop" || id.CertPath != h.path("cscs-key-cert.pub") {
		t.Errorf("comment %q, certificate %q", id.Comment, id.CertPath)
	}
	if want := ssh.FingerprintSHA256(signerOf(t, key).PublicKey()); id.Fingerprint != want {
		t.Errorf("fingerprint %s, want %s", id.Fingerprint, want)
	}
	if id.ValidBefore.Unix() != int64(cert.ValidBefore) || validAfter(id.Cert).Unix() != int64(cert.ValidAfter) {
		t.Errorf("valid from %v to %v", validAfter(id.Cert), id.ValidBefore)
	}
	if err := id.Unfit(); err != nil {
		t.Error(err)
	}

	h.cert("cscs-key", key, func(c *ssh.Certificate) {
		c.Extensions = map[string]string{"permit-pty": ""}
		c.ValidPrincipals = []string{"alice", "bob"}
		c.ValidBefore = ssh.CertTimeInfinity
		c.ValidAfter = 0
	})
	if id, err = Load(t.Context(), h.source(), nil); err != nil {
		t.Fatal(err)
	}
	if !is[*UnfitError](id.Unfit()) || id.Principal() != "" || !id.ValidBefore.IsZero() || !validAfter(id.Cert).IsZero() {
		t.Errorf("got %+v", id)
	}
}

// TestLineEndings: an editor on Windows, or a copy from a web page, changes how the lines of key files end. ssh
// refuses such a private key ("error in libcrypto").
func TestLineEndings(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"CRLF":                  func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) },
		"no newline at the end": func(b []byte) []byte { return bytes.TrimRight(b, "\n") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.cert("cscs-key", h.key("cscs-key"))
			for _, file := range []string{"cscs-key", "cscs-key.pub", "cscs-key-cert.pub"} {
				text, err := os.ReadFile(h.path(file))
				if err != nil {
					t.Fatal(err)
				}
				h.write(file, change(text), 0o600)
			}
			id, err := Load(t.Context(), h.source(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if id.Principal() != "alice" || id.Comment != "alice@laptop" {
				t.Errorf("principal %q, comment %q", id.Principal(), id.Comment)
			}
			if _, err := id.Signer.Sign(rand.Reader, []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(h *home, from *Source)
		want  func(err error) bool
		says  string
	}{
		{"nothing", func(*home, *Source) {}, is[*MissingError], "cscs-key"},
		{"no such identity", func(h *home, from *Source) {
			h.key("cscs-key")
			from.Identity = h.path("absent")
		}, is[*MissingError], "absent"},
		{"expired", func(h *home, _ *Source) {
			h.cert("cscs-key", h.key("cscs-key"), expired)
			h.key("id_ed25519")
		}, is[*ExpiredError], "cscs-key-cert.pub expired at 20"},
		{"never valid", func(h *home, _ *Source) {
			h.cert("cscs-key", h.key("cscs-key"), func(c *ssh.Certificate) { c.ValidBefore = 0; c.ValidAfter = 0 })
		}, is[*ExpiredError], "1970"},
		{"not yet valid", func(h *home, _ *Source) {
			h.cert("cscs-key", h.key("cscs-key"), future)
		}, is[*NotYetValidError], "clock"},
		{"another key's certificate", func(h *home, _ *Source) {
			h.key("cscs-key")
			_, other, _ := ed25519.GenerateKey(rand.Reader)
			h.cert("cscs-key", other)
		}, is[*FileError], "it is for another key"},
		{"a host's certificate", func(h *home, _ *Source) {
			key := h.key("cscs-key")
			h.write("cscs-key-cert.pub", line(sshtest.HostCert(h.t, h.ca, signerOf(h.t, key).PublicKey(), []string{"ela"}), ""), 0o600)
		}, is[*FileError], "for a host"},
		{"empty certificate", func(h *home, _ *Source) {
			h.key("cscs-key")
			h.write("cscs-key-cert.pub", nil, 0o600)
		}, is[*FileError], "cscs-key-cert.pub: it is empty"},
		{"public key for a certificate", func(h *home, _ *Source) {
			key := h.key("cscs-key")
			h.write("cscs-key-cert.pub", line(signerOf(h.t, key).PublicKey(), ""), 0o600)
		}, is[*FileError], "not a certificate"},
		{"empty key", func(h *home, _ *Source) {
			h.cert("cscs-key", h.key("cscs-key"))
			h.write("cscs-key", []byte("\n"), 0o600)
		}, fix("mv -i cscs-key cscs-key.away && mv -i cscs-key.pub cscs-key.pub.away && mv -i cscs-key-cert.pub cscs-key-cert.pub.away && cscs key sign"), "empty"},
		{"corrupt key", func(h *home, _ *Source) {
			h.write("cscs-key", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"), 0o600)
		}, is[*FileError], "cscs-key: it is no private key"},
		{"not a key", func(h *home, _ *Source) { h.write("cscs-key", []byte("hello"), 0o600) }, fix("mv -i cscs-key cscs-key.away && cscs key sign"), "not a private key"},
		{"PuTTY's", func(h *home, from *Source) {
			from.Identity = h.write("key.ppk", []byte("PuTTY-User-Key-File-3: ssh-ed25519\n"), 0o600)
		}, fix("puttygen key.ppk -O private-openssh -o key"), "PuTTY"},
		{"PuTTY's by the usual name", func(h *home, _ *Source) {
			h.write("cscs-key", []byte("PuTTY-User-Key-File-3: ssh-ed25519\n"), 0o600)
		}, fix("mv -i cscs-key cscs-key.ppk && puttygen cscs-key.ppk -O private-openssh -o cscs-key"), "PuTTY"},
		{"encrypted as PKCS 8", func(h *home, _ *Source) {
			h.write("cscs-key", []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFLTBX\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600)
			h.write("cscs-key.pub", line(signerOf(h.t, h.key("other")).PublicKey(), ""), 0o600)
		}, fix("ssh-keygen -p -f cscs-key"), "PKCS #8"},
		{"not a key, with a public one", func(h *home, _ *Source) {
			h.write("cscs-key", []byte("hello"), 0o600)
			h.write("cscs-key.pub", []byte("hello"), 0o600)
		}, fix("mv -i cscs-key cscs-key.away && mv -i cscs-key.pub cscs-key.pub.away && cscs key sign"), "not a private key"},
		{"a thesis", func(h *home, from *Source) { from.Identity = h.write("thesis.txt", []byte("hello"), 0o600) }, stray, "thesis.txt: it is not a private key"},
		{"an empty file of another name", func(h *home, from *Source) { from.Identity = h.write("empty", nil, 0o600) }, stray, "it is empty"},
		{"a file in the place of the directory", func(h *home, from *Source) {
			from.Identity = filepath.Join(h.write("file", nil, 0o600), "cscs-key")
		}, fix("mv -i file file.away"), "not a directory"},
		{"a directory", func(h *home, from *Source) { from.Identity = h.dir }, func(err error) bool {
			var e *FileError
			return errors.As(err, &e) && strings.HasPrefix(e.Fix, "rmdir ")
		}, "directory"},
		{"public half alone", func(h *home, from *Source) {
			h.key("mine")
			_ = os.Remove(h.path("mine"))
			from.Identity = h.path("mine")
		}, is[*HalfError], "only the public key exists"},
		{"encrypted, no terminal", func(h *home, _ *Source) { h.encrypted("cscs-key") }, func(err error) bool {
			var e *PassphraseError
			return errors.As(err, &e) && errors.Is(err, ErrNoTerminal) && strings.HasPrefix(e.Fix, "ssh-add -t 1d ") && e.Alone
		}, "passphrase"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHome(t)
			from := h.source()
			tt.setup(h, &from)
			id, err := Load(t.Context(), from, nil)
			if err == nil {
				t.Fatalf("chose %+v", id)
			}
			if !tt.want(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%T: %v", err, err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
		})
	}
}

// fix is for a FileError with that one, in which files go by their base names.
func fix(want string) func(error) bool {
	return func(err error) bool {
		var e *FileError
		return errors.As(err, &e) && base(e.Fix) == want
	}
}

// base is a command in which files go by their base names.
func base(command string) string {
	return regexp.MustCompile(`/[^ ]*/`).ReplaceAllString(command, "")
}

// stray is for a FileError that moves nothing away.
func stray(err error) bool {
	var e *FileError
	return errors.As(err, &e) && e.Stray && e.Fix == ""
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestPassphrase(t *testing.T) {
	h := newHome(t)
	h.cert("cscs-key", h.encrypted("cscs-key"))

	t.Run("asked once", func(t *testing.T) {
		var ring Ring
		p := &prompter{answers: []string{"geheim"}}
		for range 3 { // ela, daint, and again after a lost connection
			id, err := ring.Load(t.Context(), h.source(), p)
			if err != nil {
				t.Fatal(err)
			}
			works(t, id)
		}
		if len(p.prompts) != 1 || !strings.Contains(p.prompts[0], h.path("cscs-key")) {
			t.Errorf("prompts %q", p.prompts)
		}
	})
	t.Run("right at the third try", func(t *testing.T) {
		if _, err := Load(t.Context(), h.source(), &prompter{answers: []string{"", "falsch", "geheim"}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		forgotten := "mv -i cscs-key cscs-key.away && mv -i cscs-key.pub cscs-key.pub.away && mv -i cscs-key-cert.pub cscs-key-cert.pub.away && cscs key sign"
		var ring Ring
		for name, open := range map[string]func(p Prompter) error{
			"load": func(p Prompter) error { _, err := ring.Load(t.Context(), h.source(), p); return err },
			"open": func(p Prompter) error { _, _, err := Open(t.Context(), h.path("cscs-key"), p); return err },
		} {
			p := &prompter{answers: []string{"sesam-oeffne-dich"}}
			err := open(p)
			var e *PassphraseError
			if !errors.As(err, &e) || e.Tries != 3 || len(p.prompts) != 3 || base(e.Anew) != forgotten {
				t.Errorf("%s: %v after %d prompts, and then %q", name, err, len(p.prompts), e.Anew)
			}
			if s := fmt.Sprintf("%v %+v %#v", err, e, e); strings.Contains(s, "sesam") {
				t.Errorf("%s: the passphrase is in the error: %s", name, s)
			}
		}
		// Who asks no more is told what came of it.
		var e *PassphraseError
		if _, err := ring.Load(t.Context(), h.source(), nil); !errors.As(err, &e) || e.Tries != 3 || e.Anew == "" {
			t.Errorf("asked no more: %v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("ctrl-c")
		p := &prompter{err: context.Canceled, asked: func() { cancel(stop) }}
		if _, err := Load(ctx, h.source(), p); !errors.Is(err, stop) || len(p.prompts) != 1 {
			t.Errorf("%v after %d prompts", err, len(p.prompts))
		}
		// One that is interrupted before asks nothing.
		p = &prompter{err: context.Canceled}
		if _, err := Load(ctx, h.source(), p); !errors.Is(err, stop) || len(p.prompts) != 0 {
			t.Errorf("%v after %d prompts", err, len(p.prompts))
		}
	})
	t.Run("sealed", func(t *testing.T) {
		from := h.source()
		from.Sealed = true
		var ring Ring
		p := &prompter{answers: []string{"geheim"}}
		id, err := ring.Load(t.Context(), from, p)
		if err != nil {
			t.Fatal(err)
		}
		if !id.Sealed() || id.Principal() == "" || len(p.prompts) > 0 {
			t.Errorf("sealed: %v, of %q, prompts %q", id.Sealed(), id.Principal(), p.prompts)
		}
		if _, err := id.Signer.Sign(rand.Reader, []byte("data")); err == nil {
			t.Error("it signs before it is open")
		}
		if err := id.Open(t.Context(), nil); !is[*PassphraseError](err) {
			t.Errorf("nobody is asked: %v", err)
		}
		for range 2 {
			if err := id.Open(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		works(t, id)
		if id.Sealed() || len(p.prompts) != 1 {
			t.Errorf("sealed: %v, prompts %q", id.Sealed(), p.prompts)
		}
	})
	t.Run("an old format without .pub", func(t *testing.T) {
		data, err := os.ReadFile("testdata/encrypted-pem") // made by ssh-keygen -m PEM
		if err != nil {
			t.Fatal(err)
		}
		from := h.source()
		from.Identity = h.write("ec", data, 0o600)
		id, err := Load(t.Context(), from, &prompter{answers: []string{"geheim"}})
		if err != nil {
			t.Fatal(err)
		}
		works(t, id)
		from.Sealed = true // which it cannot be: nobody knows which key it is
		if id, err = Load(t.Context(), from, &prompter{answers: []string{"geheim"}}); err != nil || id.Sealed() {
			t.Errorf("sealed: %v", err)
		}
	})
}

func FuzzParseCertificate(f *testing.F) {
	ca, key := sshtest.NewKey(f), sshtest.NewKey(f)
	f.Add(line(sshtest.UserCert(f, ca, key.PublicKey(), []string{"alice"}), "comment"))
	f.Add(line(sshtest.HostCert(f, ca, key.PublicKey(), nil), ""))
	f.Add(line(key.PublicKey(), ""))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cert, _, what := parseCertificate(data)
		if (cert == nil) == (what == "") {
			t.Fatalf("certificate %v and %q", cert, what)
		}
		if cert != nil {
			_, _ = validAfter(cert).MarshalText()
			if b, err := Until(cert).MarshalText(); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
		}
	})
}
