package chain

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// parseKnownHosts returns the KnownHosts of data in the form of a known_hosts file. It asks no person and writes no
// file. Messages call that file name.
func parseKnownHosts(name string, data []byte) (*KnownHosts, error) {
	k := &KnownHosts{}
	if err := k.list.parseFile(name, data); err != nil {
		return nil, err
	}
	return k, nil
}

// TestCheck: which keys are the host's, by which lines. In the lines, {a} and
// {b} are Ed25519 keys, {ec} an ECDSA one, {ca} and {ca2} authorities. The keys
// shown are these, or a certificate: "a by ca".
func TestCheck(t *testing.T) {
	ca, ca2 := sshtest.NewKey(t), sshtest.NewECDSAKey(t)
	keys := map[string]ssh.PublicKey{
		"a": sshtest.NewKey(t).PublicKey(), "b": sshtest.NewKey(t).PublicKey(),
		"ec": sshtest.NewECDSAKey(t).PublicKey(), "rsa": sshtest.RSAKey(t).PublicKey(),
		"ca": ca.PublicKey(), "ca2": ca2.PublicKey(),
	}
	ela := []string{"ela.cscs.ch"}
	shown := map[string]ssh.PublicKey{
		"a by ca":           sshtest.HostCert(t, ca, keys["a"], ela),
		"ec by ca":          sshtest.HostCert(t, ca, keys["ec"], ela),
		"a by ca2":          sshtest.HostCert(t, ca2, keys["a"], ela),
		"a by ca for all":   sshtest.HostCert(t, ca, keys["a"], []string{"*.cscs.ch"}),
		"a by ca for any":   sshtest.HostCert(t, ca, keys["a"], nil),
		"a by ca for daint": sshtest.HostCert(t, ca, keys["a"], []string{"daint.cscs.ch"}),
		"a by ca, expired": sshtest.HostCert(t, ca, keys["a"], ela, func(c *ssh.Certificate) {
			c.ValidBefore = uint64(time.Now().Add(-time.Minute).Unix())
		}),
		"a by ca, user":     sshtest.UserCert(t, ca, keys["a"], ela),
		"a by ca, critical": sshtest.HostCert(t, ca, keys["a"], ela, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": "y"} }),
		"a by ca, forged": func() ssh.PublicKey {
			c := sshtest.HostCert(t, ca, keys["a"], ela)
			c.ValidPrincipals = []string{"ela.cscs.ch", "more"}
			return c
		}(),
	}
	for name, key := range keys {
		shown[name] = key
	}
	pairs := []string{}
	for name, key := range keys {
		pairs = append(pairs, "{"+name+"}", keyText(key))
	}
	fill := strings.NewReplacer(append(pairs, "{hash}", hashHost("ela.cscs.ch"), "{hash2222}", hashHost("[ela.cscs.ch]:2222"))...)

	const ok = ""
	for _, tt := range []struct {
		lines, host, show string
		want              HostKeyKind // "" for accepted
		line              int
	}{
		{"ela.cscs.ch {a}", "ela.cscs.ch", "a", ok, 0},
		{"ela.cscs.ch {a} a comment", "ela.cscs.ch", "a", ok, 0},
		{"ELA.cscs.ch {a}", "ela.cscs.ch", "a", ok, 0},
		{"  # nothing\n\n\tela.cscs.ch\t{a}\r", "ela.cscs.ch", "a", ok, 0},
		{"daint,ela.cscs.ch,1.2.3.4 {a}", "ela.cscs.ch", "a", ok, 0},
		{"{hash} {a}", "ela.cscs.ch", "a", ok, 0},
		{"{hash} {a}", "daint.cscs.ch", "a", HostKeyUnknown, 0},
		{"", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"daint {a}", "ela.cscs.ch", "a", HostKeyUnknown, 0},

		{"ela.cscs.ch {a}", "ela.cscs.ch", "b", HostKeyChanged, 1},
		{"ela.cscs.ch {a}\nela.cscs.ch {b}", "ela.cscs.ch", "b", ok, 0},
		{"ela.cscs.ch {ec}\nela.cscs.ch {a}", "ela.cscs.ch", "b", HostKeyChanged, 2},
		{"ela.cscs.ch {ec}", "ela.cscs.ch", "a", HostKeyChanged, 1}, // ssh would ask
		{"{hash} {a}", "ela.cscs.ch", "b", HostKeyChanged, 1},

		{"[ela.cscs.ch]:2222 {a}", "[ela.cscs.ch]:2222", "a", ok, 0},
		{"{hash2222} {a}", "[ela.cscs.ch]:2222", "a", ok, 0},
		{"[ela.cscs.ch]:2222 {a}", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"ela.cscs.ch {a}", "[ela.cscs.ch]:2222", "a", ok, 0},
		{"ela.cscs.ch {a}", "[ela.cscs.ch]:2222", "b", HostKeyUnknown, 0}, // another server may be there
		{"[ela.cscs.ch]:22 {a}", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"::1 {a}", "::1", "a", ok, 0},
		{"[::1]:2222 {a}", "[::1]:2222", "a", ok, 0},

		{"*.cscs.ch {a}", "ela.cscs.ch", "a", ok, 0},
		{"*.cscs.ch {a}", "[ela.cscs.ch]:2222", "a", ok, 0}, // by the name alone
		{"[*.cscs.ch]:* {a}", "[ela.cscs.ch]:2222", "a", ok, 0},
		{"el?.cscs.ch {a}", "ela.cscs.ch", "a", ok, 0},
		{"*,!ela.cscs.ch {a}", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"*,!ela.cscs.ch {a}", "daint.cscs.ch", "a", ok, 0},
		{"!ela.cscs.ch {a}", "daint.cscs.ch", "a", HostKeyUnknown, 0},
		{"* {a}", "[ela.cscs.ch]:2222", "a", ok, 0},

		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca", ok, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "ec by ca", ok, 0},
		{"@cert-authority *.cscs.ch {ca}", "[ela.cscs.ch]:2222", "a by ca", ok, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca for all", ok, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca for any", ok, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca for daint", HostKeyBadCert, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca, expired", HostKeyBadCert, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca, user", HostKeyBadCert, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca, critical", HostKeyBadCert, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca, forged", HostKeyBadCert, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.example.org", "a by ca", HostKeyUnknown, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a by ca2", HostKeyUnknown, 0},
		{"@cert-authority *.cscs.ch {ca}\n@cert-authority ela.cscs.ch {ca2}", "ela.cscs.ch", "a by ca2", ok, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"@cert-authority *.cscs.ch {ca}", "ela.cscs.ch", "ca", HostKeyUnknown, 0}, // an authority is no host
		{"ela.cscs.ch {ca}", "ela.cscs.ch", "a by ca", HostKeyChanged, 1},          // nor a host an authority
		{"ela.cscs.ch {a}", "ela.cscs.ch", "a by ca", ok, 0},
		{"ela.cscs.ch {b}", "ela.cscs.ch", "a by ca", HostKeyChanged, 1},
		{"@cert-authority *.cscs.ch {ca}\nela.cscs.ch {a}", "ela.cscs.ch", "a by ca, expired", ok, 0},

		{"ela.cscs.ch {a}\n@revoked * {a}", "ela.cscs.ch", "a", HostKeyRevoked, 2},
		{"@revoked ela.cscs.ch {a}\nela.cscs.ch {a}", "ela.cscs.ch", "a", HostKeyRevoked, 1},
		{"@revoked elsewhere {a}\nela.cscs.ch {a}", "ela.cscs.ch", "a", HostKeyRevoked, 1},
		{"@cert-authority * {ca}\n@revoked * {ca}", "ela.cscs.ch", "a by ca", HostKeyRevoked, 2},
		{"@cert-authority * {ca}\n@revoked * {a}", "ela.cscs.ch", "a by ca", HostKeyRevoked, 2},
		{"@cert-authority * {ca}\n@revoked * {ca}\nela.cscs.ch {a}", "ela.cscs.ch", "a by ca", HostKeyRevoked, 2},
		{"@cert-authority * {ca}\n@revoked * {b}", "ela.cscs.ch", "a by ca", ok, 0},
		{"@revoked * {a}", "ela.cscs.ch", "b", HostKeyUnknown, 0},

		{"garbage\nela.cscs.ch ssh-new AAAA\n|1|x|y {b}\nela.cscs.ch {a}", "ela.cscs.ch", "a", ok, 0},
		{"@unknown ela.cscs.ch {a}", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"@cert-authority @revoked ela.cscs.ch {a}", "ela.cscs.ch", "a", HostKeyUnknown, 0},
		{"ela.cscs.ch {rsa}", "ela.cscs.ch", "rsa", ok, 0},
	} {
		t.Run(tt.lines+"/"+tt.host+"/"+tt.show, func(t *testing.T) {
			k, err := parseKnownHosts("known_hosts", []byte(fill.Replace(tt.lines)))
			if err != nil {
				t.Fatal(err)
			}
			err = k.Check(t.Context(), tt.host, nil, shown[tt.show])
			var refusal *HostKeyError
			if errors.As(err, &refusal) != (err != nil) {
				t.Fatal(err)
			}
			switch {
			case err == nil:
				if tt.want != ok {
					t.Errorf("accepted, want %s", tt.want)
				}
			case refusal.Kind != tt.want || refusal.LineNumber != tt.line:
				t.Errorf("%s at line %d (%v), want %q at line %d", refusal.Kind, refusal.LineNumber, err, tt.want, tt.line)
			}
		})
	}
}

func TestAlgorithms(t *testing.T) {
	ed, ec, rsa := keyText(sshtest.NewKey(t).PublicKey()), keyText(sshtest.NewECDSAKey(t).PublicKey()), keyText(sshtest.RSAKey(t).PublicKey())
	for _, tt := range []struct {
		lines string
		first []string // the list begins so; nil: no list
	}{
		{"", nil},
		{"other " + ed, nil},
		{"host " + ed, []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256}},
		{"host " + rsa, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoED25519}},
		{"host " + ec, []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoED25519}},
		{"host " + rsa + "\nhost " + ed, []string{ssh.KeyAlgoED25519, ssh.KeyAlgoRSASHA512}},
		{"@cert-authority * " + ed, certAlgorithms},
		{"@cert-authority * " + ed + "\nhost " + rsa, append(slices.Clone(certAlgorithms), ssh.KeyAlgoRSASHA512)},
		{"@revoked * " + ed, nil},
	} {
		k, err := parseKnownHosts("", []byte(tt.lines))
		if err != nil {
			t.Fatal(err)
		}
		got := k.Algorithms("host")
		if tt.first == nil {
			if got != nil {
				t.Errorf("%q: %v, want none", tt.lines, got)
			}
			continue
		}
		if len(got) < len(tt.first) || !slices.Equal(got[:len(tt.first)], tt.first) {
			t.Errorf("%q: %v, want it to begin with %v", tt.lines, got, tt.first)
		}
		if slices.Contains(got, ssh.KeyAlgoRSA) {
			t.Errorf("%q: SHA-1 in %v", tt.lines, got)
		}
		for _, a := range plainAlgorithms {
			if !slices.Contains(got, a) {
				t.Errorf("%q: no %s in %v", tt.lines, a, got)
			}
		}
	}
}

func TestBadLines(t *testing.T) {
	key := keyText(sshtest.NewKey(t).PublicKey())
	keyType, blob, _ := strings.Cut(key, " ")
	k, err := parseKnownHosts("kh", []byte("good "+key+"\nbad\nbad ssh-rsa "+blob+"\nbad ssh-new AAAAB3NzaC1uZXcAAAAB\nbad "+keyType+" !!!\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Warnings(); len(got) != 4 || !strings.HasPrefix(got[0].Error(), "kh:2: ") || !strings.HasPrefix(got[3].Error(), "kh:5: ") {
		t.Errorf("warnings %q", got)
	}
	for _, line := range []string{"@revoked", "@revoked *", "@revoked * " + keyType, "@revoked * " + keyType + " AAAA", "@revoked * ssh-rsa " + blob, "@revoked * " + keyType + " AAAAC3Nz"} {
		var bad *KnownHostsError
		if _, err := parseKnownHosts("kh", []byte("good "+key+"\n"+line)); !errors.As(err, &bad) || bad.Line != 2 {
			t.Errorf("%q: error %v", line, err)
		}
	}
	// A type that we do not know can be revoked all the same.
	if _, err := parseKnownHosts("kh", []byte("@revoked * ssh-new "+base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x07ssh-new123")))); err != nil {
		t.Error(err)
	}
}

// asker answers questions and remembers them.
type asker struct {
	mu     sync.Mutex
	answer bool
	err    error
	asked  []Question
}

func (a *asker) ask(_ context.Context, q Question) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, q)
	return a.answer, a.err
}

func TestAsk(t *testing.T) {
	key, other := sshtest.NewKey(t).PublicKey(), sshtest.NewKey(t).PublicKey()
	remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22}
	file := filepath.Join(t.TempDir(), ".ssh", "known_hosts")
	system := filepath.Join(t.TempDir(), "ssh_known_hosts")
	if err := os.WriteFile(system, []byte("ela5 "+keyText(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	a := &asker{answer: true}
	k, err := OpenKnownHosts([]string{file, system, "none", filepath.Join(t.TempDir(), "absent")}, a.ask)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Check(t.Context(), "ela.cscs.ch", remote, key); err != nil {
			t.Fatal(err)
		}
	}
	want := []Question{{
		Host: "ela.cscs.ch", Remote: remote, KeyType: "ED25519", Fingerprint: ssh.FingerprintSHA256(key),
		Known: []string{system + ":1: ela5"}, File: file, Line: "ela.cscs.ch " + keyText(key),
	}}
	if diff := cmp.Diff(want, a.asked); diff != "" {
		t.Error(diff)
	}
	data, err := os.ReadFile(file)
	if err != nil || string(data) != "ela.cscs.ch "+keyText(key)+"\n" {
		t.Errorf("wrote %q, %v", data, err)
	}
	for path, mode := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	// Remembered for the next time, and against the next one.
	k, err = OpenKnownHosts([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Check(t.Context(), "ela.cscs.ch", remote, key); err != nil {
		t.Error(err)
	}
	var refusal *HostKeyError
	if err := k.Check(t.Context(), "ela.cscs.ch", remote, other); !errors.As(err, &refusal) || refusal.Kind != HostKeyChanged ||
		refusal.Fix != "ssh-keygen -f "+file+" -R ela.cscs.ch" {
		t.Errorf("%+v", refusal)
	}
}

func TestRefusals(t *testing.T) {
	key := sshtest.NewKey(t).PublicKey()
	for _, tt := range []struct {
		name, host string
		ask        AskFunc
		want       HostKeyKind
		line       bool
	}{
		{"nobody to ask", "ela", nil, HostKeyUnknown, true},
		{"no", "ela", (&asker{}).ask, HostKeyDeclined, true},
		{"no terminal", "ela", (&asker{err: errors.New("no terminal")}).ask, HostKeyUnknown, true},
		{"a line in the name", "ela\nmallory", (&asker{answer: true}).ask, HostKeyUnknown, false},
		{"a pattern for a name", "*", (&asker{answer: true}).ask, HostKeyUnknown, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "known_hosts")
			k, err := OpenKnownHosts([]string{file}, tt.ask)
			if err != nil {
				t.Fatal(err)
			}
			var refusal *HostKeyError
			if err := k.Check(t.Context(), tt.host, nil, key); !errors.As(err, &refusal) || refusal.Kind != tt.want {
				t.Fatal(err)
			}
			if got := refusal.Line == tt.host+" "+keyText(key); got != tt.line || refusal.File != file {
				t.Errorf("%+v", refusal)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("the file was written")
			}
		})
	}
}

func TestUnreadableFile(t *testing.T) {
	key := sshtest.NewKey(t).PublicKey()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("ela "+keyText(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	k, err := OpenKnownHosts([]string{dir, file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var passed *PassedOverError
	if w := k.Warnings(); len(w) != 1 || !errors.As(w[0], &passed) || passed.File != dir || passed.Line != 0 {
		t.Errorf("%q", w)
	}
	if err := k.Check(t.Context(), "ela", nil, key); err != nil {
		t.Error(err)
	}
	// It may be what would know another.
	var unknown *HostKeyError
	if err := k.Check(t.Context(), "daint", nil, key); !errors.As(err, &unknown) || unknown.Unread == nil || unknown.Unread.File != dir {
		t.Errorf("got %v", err)
	}
}

func TestMended(t *testing.T) {
	key, old := sshtest.NewKey(t).PublicKey(), sshtest.NewKey(t).PublicKey()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("ela "+keyText(old)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKnownHosts([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Check(t.Context(), "ela", nil, key); err == nil {
		t.Fatal("accepted")
	}
	if err := os.WriteFile(file, []byte("ela "+keyText(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Check(t.Context(), "ela", nil, key); err != nil {
		t.Error(err)
	}
}

func TestAppendHost(t *testing.T) {
	key := sshtest.NewKey(t).PublicKey()
	for _, tt := range []struct{ name, before, after string }{
		{"no final line feed", "a b c", "a b c\nela " + keyText(key) + "\n"},
		{"one", "a b c\n", "a b c\nela " + keyText(key) + "\n"},
		{"empty", "", "ela " + keyText(key) + "\n"},
	} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(tt.before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := appendHost(file, "ela", key); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(file); string(got) != tt.after {
			t.Errorf("%s: %q", tt.name, got)
		}
	}

	file := filepath.Join(t.TempDir(), "known_hosts")
	var writers sync.WaitGroup
	for i := range 50 {
		writers.Go(func() {
			if err := appendHost(file, fmt.Sprintf("host%d", i), key); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	k, err := OpenKnownHosts([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := k.Check(t.Context(), fmt.Sprintf("host%d", i), nil, key); err != nil {
			t.Error(err)
		}
	}
}

// TestSSHKeygen: ssh-keygen finds what we write, and we find what it hashes.
func TestSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Fatal("ssh-keygen is needed: install openssh-client")
	}
	key := sshtest.NewKey(t).PublicKey()
	file := filepath.Join(t.TempDir(), "known_hosts")
	hosts := []string{"ela.cscs.ch", "[localhost]:2222", "::1", "[::1]:2222"}
	for _, host := range hosts {
		if err := appendHost(file, host, key); err != nil {
			t.Fatal(err)
		}
	}
	find := func(host string) bool {
		out, _ := exec.CommandContext(t.Context(), keygen, "-f", file, "-F", host).Output()
		return len(out) > 0
	}
	for _, host := range hosts {
		if !find(host) {
			t.Errorf("ssh-keygen does not find %s", host)
		}
	}
	if out, err := exec.CommandContext(t.Context(), keygen, "-H", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	hosts = append(hosts, "daint.alps.cscs.ch")
	if err := appendHost(file, "daint.alps.cscs.ch", key); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil || bytes.Contains(data, []byte("daint")) {
		t.Errorf("the name was not hashed: %v, %s", err, data)
	}
	k, err := OpenKnownHosts([]string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if err := k.Check(t.Context(), host, nil, key); err != nil {
			t.Error(err)
		}
		if !find(host) {
			t.Errorf("ssh-keygen does not find %s, hashed", host)
		}
	}
}

func TestQuestion(t *testing.T) {
	q := Question{
		Host: "ela.cscs.ch", Remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22},
		KeyType: "ED25519", Fingerprint: "SHA256:abc",
	}
	const want = `The authenticity of host 'ela.cscs.ch (192.0.2.1)' can't be established.
ED25519 key fingerprint is SHA256:abc.
This key is not known by any other names.
Are you sure you want to continue connecting (yes/no/[fingerprint])? `
	if diff := cmp.Diff(want, q.String()); diff != "" {
		t.Error(diff)
	}
	for answer, want := range map[string][2]bool{
		"yes": {true, true}, " YES\n": {true, true}, "SHA256:abc": {true, true},
		"no": {false, true}, "": {false, false},
		"y": {false, false}, "SHA256:ABC": {false, false}, "SHA256:xyz": {false, false},
	} {
		if yes, understood := q.Answer(answer); [2]bool{yes, understood} != want {
			t.Errorf("%q: %v, %v", answer, yes, understood)
		}
	}
}

func TestMatchPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"?", "", false}, {"a*", "a", true}, {"*a", "ba", true},
		{"*a*b", "xaxxb", true}, {"*a*b", "xaxxbc", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"**", "x", true}, {"*.ch", ".ch", true}, {"*ab", "aab", true},
	} {
		if got := matchPattern(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q, %q: %v", tt.pattern, tt.s, got)
		}
	}
	began := time.Now()
	if matchPattern(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 5000)) {
		t.Error("matched")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzKnownHosts(f *testing.F) {
	key := sshtest.NewKey(f).PublicKey()
	f.Add([]byte("ela "+keyText(key)+"\n"), "ela")
	f.Add([]byte(hashHost("ela")+" "+keyText(key)), "ela")
	f.Add([]byte(""), "ela") // a line is proposed
	f.Add([]byte("daint "+keyText(key)), "[ela]:2222")
	f.Add([]byte("@cert-authority *,!x "+keyText(key)+"\n@revoked * "+keyText(key)), "[ela]:2222")
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		k, err := parseKnownHosts("known_hosts", data)
		if err != nil {
			return
		}
		_ = k.Algorithms(host)
		if err := k.Check(t.Context(), host, nil, key); err != nil {
			var refusal *HostKeyError
			if !errors.As(err, &refusal) {
				t.Fatal(err)
			}
			if strings.Contains(refusal.Line, "\n") {
				t.Fatalf("line %q", refusal.Line)
			}
			// The line that it proposes makes the key known, and no other host's.
			if refusal.Kind == HostKeyUnknown && refusal.Line != "" {
				again, err := parseKnownHosts("known_hosts", []byte(refusal.Line))
				if err != nil {
					t.Fatal(err)
				}
				if err := again.Check(t.Context(), strings.ToLower(host), nil, key); err != nil {
					t.Fatalf("%q does not help: %v", refusal.Line, err)
				}
				if err := again.Check(t.Context(), host+"x", nil, key); err == nil {
					t.Fatalf("%q helps another", refusal.Line)
				}
			}
		}
	})
}
