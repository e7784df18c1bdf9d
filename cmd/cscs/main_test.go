package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
)

// TestMain hides the site-wide file of this machine. It also runs in the programs that scripts start, which may name
// one.
func TestMain(m *testing.M) {
	if os.Getenv("CSCS_SITE_CONFIG") == "" {
		if err := os.Setenv("CSCS_SITE_CONFIG", os.DevNull); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"cscs": main})
}

// TestScripts runs testdata/*.txtar: the program as a user sees it, in a home
// of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
				return err
			}
			e.Setenv("HOME", home)
			e.Setenv("TZ", "UTC")
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("SSH_AUTH_SOCK", "")
			e.Setenv("CSCS_SITE_CONFIG", os.DevNull)
			// ssh takes the home from the password database, whatever HOME says
			e.Setenv("CSCS_SSH_CONFIG", filepath.Join(home, ".ssh", "config"))
			return os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte("Host *\nUserKnownHostsFile "+home+"/.ssh/known_hosts\n"), 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"key":  makeKey,
			"cert": makeCertificate,
			"code": exitsWith,
		},
	})
}

// makeKey is: key FILE PRINCIPAL VALIDITY [PASSPHRASE], the validity being a time span from now,
// negative for one that is over.
func makeKey(ts *testscript.TestScript, _ bool, args []string) {
	validity, err := time.ParseDuration(args[2])
	if err == nil {
		err = newKey(ts.MkAbs(args[0]), args[1], validity, strings.Join(args[3:], " "))
	}
	if err != nil {
		ts.Fatalf("make key: %v", err)
	}
}

// newKey writes a key, its public half and a certificate for it.
func newKey(file, principal string, validity time.Duration, passphrase string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		return err
	}
	cert, err := newCertificate(signer, principal, validity, nil)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{
		{file, pem.EncodeToMemory(block), 0o600},
		{file + ".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644},
		{file + "-cert.pub", ssh.MarshalAuthorizedKey(cert), 0o644},
	} {
		if err := os.WriteFile(f.name, f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// newAuthority makes the authority of all certificates of the tests.
var newAuthority = sync.OnceValues(func() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
})

// newCertificate is one for a key.
func newCertificate(signer ssh.Signer, principal string, validity time.Duration, change func(*ssh.Certificate)) (*ssh.Certificate, error) {
	cert := &ssh.Certificate{
		Key: signer.PublicKey(), CertType: ssh.UserCert, KeyId: principal, ValidPrincipals: []string{principal},
		ValidAfter: uint64(time.Now().Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().Add(validity).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}},
	}
	if validity < 0 {
		cert.ValidAfter = uint64(time.Now().Add(-48 * time.Hour).Unix())
	}
	if change != nil {
		change(cert)
	}
	authority, err := newAuthority()
	if err != nil {
		return nil, err
	}
	return cert, cert.SignCert(rand.Reader, authority)
}

// makeCertificate is: cert FILE KIND, another certificate for a key that is there, for a day from
// an hour ago, that is good but for its kind.
func makeCertificate(ts *testscript.TestScript, _ bool, args []string) {
	change, ok := map[string]func(*ssh.Certificate){
		"good":    func(*ssh.Certificate) {},
		"nobody":  func(c *ssh.Certificate) { c.ValidPrincipals = nil },
		"clear":   func(c *ssh.Certificate) { c.Extensions = nil },
		"command": func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "date"} },
		"odd":     func(c *ssh.Certificate) { c.ValidPrincipals, c.KeyId = []string{"al\x1b[31mice\nx\a"}, "\x1b]0;x\a" },
		"ahead":   func(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Add(time.Minute).Unix()) },
	}[args[1]]
	if !ok {
		ts.Fatalf("no such kind: %s", args[1])
	}
	file := ts.MkAbs(args[0])
	signer, err := ssh.ParsePrivateKey([]byte(ts.ReadFile(file)))
	if err != nil {
		ts.Fatalf("read key: %v", err)
	}
	cert, err := newCertificate(signer, "alice", 23*time.Hour, change)
	if err == nil {
		err = os.WriteFile(file+"-cert.pub", ssh.MarshalAuthorizedKey(cert), 0o600)
	}
	if err != nil {
		ts.Fatalf("make certificate: %v", err)
	}
}

// exitsWith is: code N ARGS..., cscs run to its end with exit code N. Errors of
// usage must be one line and hints.
func exitsWith(ts *testscript.TestScript, _ bool, args []string) {
	want := args[0]
	err := ts.Exec("sh", append([]string{"-c", `cscs "$@"; c=$?; [ $c = ` + want + ` ] || { echo "exit code $c" >&2; exit 1; }`, "cscs"}, args[1:]...)...)
	if err != nil {
		ts.Fatalf("cscs %s: want exit code %s\n%s%s", strings.Join(args[1:], " "), want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
	if want != "2" {
		return
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("on stdout: %s", out)
	}
	for i, line := range strings.Split(strings.TrimRight(ts.ReadFile("stderr"), "\n"), "\n") {
		if i == 0 && !strings.HasPrefix(line, "cscs: ") || i > 0 && !strings.HasPrefix(line, "hint: ") {
			ts.Fatalf("line %d: %s", i+1, line)
		}
	}
}

func TestVersionLine(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}}
	if got := versionLine("v1.2.3", info); !strings.HasPrefix(got, "cscs v1.2.3 (commit 0123456789ab, modified, go") {
		t.Error(got)
	}
	if got := versionLine("", nil); !strings.HasPrefix(got, "cscs devel (commit unknown, go") {
		t.Error(got)
	}
}
