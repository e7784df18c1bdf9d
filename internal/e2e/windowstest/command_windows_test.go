package windowstest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestVersion: the program is that for Windows.
func TestVersion(t *testing.T) {
	if out, _ := newUser(t).run(0, "version"); !strings.Contains(out, "windows/") {
		t.Errorf("cscs version: %q", out)
	}
}

// writeKey writes a key with a certificate that is valid until then.
func (u *user) writeKey(until time.Time, path ...string) string {
	u.t.Helper()
	key, signer := sshtest.NewPair(u.t)
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		u.t.Fatal(err)
	}
	public := signer.PublicKey()
	cert := sshtest.UserCert(u.t, sshtest.NewKey(u.t), public, []string{"alice"}, func(c *ssh.Certificate) {
		c.ValidAfter, c.ValidBefore = uint64(until.Add(-24*time.Hour).Unix()), uint64(until.Unix())
	})
	file := u.write(pem.EncodeToMemory(block), path...)
	for suffix, public := range map[string]ssh.PublicKey{".pub": public, "-cert.pub": cert} {
		if err := os.WriteFile(file+suffix, ssh.MarshalAuthorizedKey(public), 0o600); err != nil {
			u.t.Fatal(err)
		}
	}
	return file
}

// TestKeyStatus: the key is found in the profile and by a path with backslashes, spaces and letters outside ASCII.
func TestKeyStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		until    time.Duration // from now; 0: there is no key
		named    bool          // with --identity
		code     int
		problems string
	}{
		"none":           {0, false, 3, "none at"},
		"valid":          {20 * time.Hour, false, 0, ""},
		"valid, named":   {20 * time.Hour, true, 0, ""},
		"expired":        {-time.Hour, false, 3, "expired"},
		"expired, named": {-time.Hour, true, 3, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			args, path := []string{"key", "status", "--json"}, []string{".ssh", "cscs-key"}
			if tt.named {
				path = []string{"Schlüssel für Alps", "mein key"}
			}
			want := filepath.Join(append([]string{u.dir}, path...)...)
			if tt.until != 0 {
				u.writeKey(time.Now().Add(tt.until), path...)
			}
			if tt.named {
				args = append(args, "--identity", want)
			}
			out, _ := u.run(tt.code, args...)
			var status struct {
				Usable  bool
				Key     string
				Problem string
				Agent   string
			}
			if err := json.Unmarshal([]byte(out), &status); err != nil {
				t.Fatalf("%v: %q", err, out)
			}
			if status.Usable != (tt.code == 0) || status.Key != want || !strings.Contains(status.Problem, tt.problems) || tt.problems == "" && status.Problem != "" {
				t.Errorf("got %+v, want the key %q", status, want)
			}
			if status.Agent == "silent" { // the service of Windows is off by default
				t.Error("an agent that does not run does not answer, either")
			}
		})
	}
}

// TestBadInput: one line that names the mistake, and exit code 2. A hint may follow.
func TestBadInput(t *testing.T) {
	u := newUser(t)
	for _, tt := range []struct {
		says string
		args []string
	}{
		{"--nosuch", []string{"run", "--nosuch"}},
		{"rum-jupyter", []string{"rum-jupyter"}},
		{"70000", []string{"run", "--cluster", "demo", "--port", "70000", "--", "x"}},
		{"no such key", []string{"run", "--cluster", "demo", "--identity", filepath.Join(u.dir, "no such key"), "--", "x"}},
		{"nosuchid", []string{"stop", "nosuchid"}},
	} {
		out, errs := u.run(2, tt.args...)
		first, hints, _ := strings.Cut(errs, "\n")
		if out != "" || !strings.Contains(first, tt.says) {
			t.Errorf("cscs %q: %q", tt.args, errs)
		}
		for line := range strings.Lines(hints) {
			if !strings.HasPrefix(line, "hint: ") {
				t.Errorf("cscs %q has more than a line and hints: %q", tt.args, errs)
			}
		}
	}
}

// TestConfiguration: config.toml is found below %AppData%, and a message shows a path of Windows as it is.
func TestConfiguration(t *testing.T) {
	u := newUser(t)
	file := u.write([]byte("[clusters.daint]\nacount = 1\n"), "AppData", "Roaming", "cscs", "config.toml")
	if _, errs := u.run(2, "run", "--cluster", "daint", "--dry-run", "--", "x"); !strings.Contains(errs, file+":2:1") {
		t.Errorf("%q does not name %s", errs, file)
	}
}

// TestDoctor: without a network, each check has a result, and the first failure decides the exit code.
func TestDoctor(t *testing.T) {
	u := newUser(t)
	u.writeKey(time.Now().Add(20*time.Hour), ".ssh", "cscs-key")
	u.write([]byte(`default_cluster = "here"
[clusters.here]
host = "127.0.0.1"
port = 1
jump = []
user = "alice"
`), "AppData", "Roaming", "cscs", "config.toml")
	out, _ := u.run(1, "doctor", "--json")
	results := map[string]string{}
	for line := range strings.Lines(out) {
		var check struct{ Check, Status, Problem string }
		if err := json.Unmarshal([]byte(line), &check); err != nil || !slices.Contains([]string{"ok", "skipped", "warning", "failure"}, check.Status) {
			t.Errorf("%v: %s", err, line)
		}
		results[check.Check] = fmt.Sprint(check.Status, " ", check.Problem)
	}
	for check, want := range map[string]string{"config": "ok ", "key": "ok ", "tcp": "failure connection-refused", "ssh": "skipped "} {
		if results[check] != want {
			t.Errorf("check %s: %q, want %q\n%s", check, results[check], want, out)
		}
	}
}

// TestCompletion: the script for PowerShell registers itself.
func TestCompletion(t *testing.T) {
	if out, _ := newUser(t).run(0, "completion", "powershell"); !strings.Contains(out, "Register-ArgumentCompleter") {
		t.Errorf("%.200q", out)
	}
}
