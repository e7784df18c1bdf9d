//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// apiKey is that of alice's service account, in the lab's key service.
const apiKey = "CSCS_API_KEY=lab-api-key-of-alice"

// keyService is the lab's, which is steered by its socket.
type keyService struct {
	t      *testing.T
	client *http.Client
}

// keys starts the key service, as new, and gives alice her keys back when the test ends.
func keys(t *testing.T) keyService {
	t.Helper()
	tell(t, "keys", "on")
	ssh, away := laptopHome(".ssh"), filepath.Join(t.TempDir(), "ssh")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", ssh, away).CombinedOutput(); err != nil {
		t.Fatalf("save alice's keys: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		_ = os.RemoveAll(ssh)
		if out, err := exec.CommandContext(context.Background(), "cp", "-a", away, ssh).CombinedOutput(); err != nil {
			t.Errorf("give alice's keys back: %v\n%s", err, out)
		}
		forgetSignings(t)
	})
	forgetSignings(t)
	k := keyService{t: t, client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(lab.Env["LAB_RUN"], "keys/control"))
		},
	}}}
	k.set("{}")
	return k
}

// forgetSignings removes what cscs key remembers.
func forgetSignings(t *testing.T) {
	t.Helper()
	_ = os.RemoveAll(laptopHome(".cache"))
	locks, _ := filepath.Glob(laptopHome(".local/state/cscs/sign*"))
	for _, l := range locks {
		if err := os.Remove(l); err != nil {
			t.Error(err)
		}
	}
}

// set changes how the service behaves, and has it forget what was before.
func (k keyService) set(settings string) {
	k.t.Helper()
	k.ask(http.MethodPost, "/set", settings)
}

func (k keyService) ask(method, path, body string) string {
	k.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://keys"+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	resp, err := k.client.Do(req)
	if err != nil {
		k.t.Fatalf("the key service's control: %v", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		k.t.Fatalf("the key service's control: %s: %v: %s", resp.Status, err, data)
	}
	return string(data)
}

// asked counts the requests so far whose path ends so.
func (k keyService) asked(suffix string) int {
	k.t.Helper()
	var all []struct{ Method, Path string }
	if err := json.Unmarshal([]byte(k.ask(http.MethodGet, "/requests", "")), &all); err != nil {
		k.t.Fatal(err)
	}
	n := 0
	for _, r := range all {
		if strings.HasSuffix(r.Path, suffix) {
			n++
		}
	}
	return n
}

func (k keyService) otp() string      { k.t.Helper(); return k.ask(http.MethodGet, "/otp", "") }
func (k keyService) password() string { k.t.Helper(); return k.ask(http.MethodGet, "/password", "") }

// approve signs alice in with a device code, as she would with her phone.
func (k keyService) approve(code string) {
	k.t.Helper()
	jar := "/tmp/device-cookies"
	defer func() { _, _ = try(k.t, "alice", "laptop", "rm", "-f", jar) }()
	out := k.curl("-c", jar, "--data-urlencode", "user_code="+code, "--data-urlencode", "username=alice",
		"--data-urlencode", "password="+k.password(), "https://auth.cscs.ch/device/login")
	says(k.t, out, "Welcome back alice")
	says(k.t, k.curl("-b", jar, "https://auth.cscs.ch/device/confirm?action=allowed"), "Device authorization allowed")
}

// signIn signs alice in at an address, as her browser would; it gives the last page.
func (k keyService) signIn(address string) string {
	k.t.Helper()
	page := k.curl("-L", address)
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)
	if id == nil {
		k.t.Fatalf("no page to sign in at %s:\n%s", address, page)
	}
	return k.curl("-L", "--data-urlencode", "id="+id[1], "--data-urlencode", "username=alice",
		"--data-urlencode", "password="+k.password(), "https://auth.cscs.ch/login/username")
}

// curl is alice's, on the laptop.
func (k keyService) curl(args ...string) string {
	k.t.Helper()
	return output(k.t, "alice", "laptop", append([]string{"curl", "-sS", "--max-time", "20"}, args...)...)
}

// command is a cscs that has ended.
type command struct {
	t    *testing.T
	code int
	out  string
	err  string
}

// runKey runs "cscs key WORDS…" as alice on the laptop, without a terminal, to its end.
func runKey(t *testing.T, words ...string) command {
	t.Helper()
	var env []string
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	argv := append(append([]string{"setsid", "-w", "env"}, env...), append([]string{lab.bin, "key"}, words...)...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := as(ctx, "alice", "laptop", argv...)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("cscs key %q: %v", words, err)
	}
	return command{t, c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want fails the test unless the command ended so and said the words on stderr.
func (c command) want(code int, words ...string) command {
	c.t.Helper()
	if c.code != code {
		c.t.Errorf("exit code %d, want %d\n%s%s", c.code, code, c.out, c.err)
	}
	says(c.t, c.err, words...)
	return c
}

// status is cscs key status --json, as far as tests look at it.
type status struct {
	Usable     bool     `json:"usable"`
	Problem    string   `json:"problem"`
	Principals []string `json:"principals"`
	Serial     string   `json:"serial"`
	Left       int      `json:"left"`
	Encrypted  bool     `json:"encrypted"`
	Agent      string   `json:"agent"`
	Signed     int      `json:"signed"`
	Extensions []string `json:"extensions"`
}

// keyStatus is what there is of alice's key; the exit code must agree with it. VAR=VALUE words
// set the environment.
func keyStatus(t *testing.T, words ...string) status {
	t.Helper()
	var env []string
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	c := runKey(t, append(append(env, "status", "--json"), words...)...)
	var s status
	if err := json.Unmarshal([]byte(c.out), &s); err != nil {
		t.Fatalf("cscs key status --json: %v\n%s%s", err, c.out, c.err)
	}
	if want := map[bool]int{true: 0, false: 3}[s.Usable]; c.code != want {
		t.Errorf("cscs key status: exit code %d, and usable is %v", c.code, s.Usable)
	}
	return s
}

// noSSH takes alice's ~/.ssh away, until the test ends: keys has saved it.
func noSSH(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(laptopHome(".ssh")); err != nil {
		t.Fatal(err)
	}
}

// givenHosts gives alice back what she knew of hosts, and only that.
func givenHosts(t *testing.T) {
	t.Helper()
	file := laptopHome(".ssh/known_hosts")
	write(t, file, readFile(t, filepath.Join(lab.Env["LAB_RUN"], "known_hosts")))
	if err := os.Chown(file, labctl.AliceUID, labctl.AliceUID); err != nil {
		t.Fatal(err)
	}
}

// wellKept fails the test unless key, public key and certificate are there, as ssh
// wants them, with nothing beside them.
func wellKept(t *testing.T) {
	t.Helper()
	want := map[string]os.FileMode{"cscs-key": 0o600, "cscs-key.pub": 0o644, "cscs-key-cert.pub": 0o644, "known_hosts": 0}
	entries, err := os.ReadDir(laptopHome(".ssh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		mode, known := want[e.Name()]
		if !known {
			t.Errorf("~/.ssh/%s is left there", e.Name())
		} else if mode != 0 && info.Mode().Perm() != mode {
			t.Errorf("~/.ssh/%s has mode %v, want %v", e.Name(), info.Mode().Perm(), mode)
		}
		delete(want, e.Name())
	}
	delete(want, "known_hosts")
	for name := range want {
		t.Errorf("~/.ssh/%s is missing", name)
	}
	if info, err := os.Stat(laptopHome(".ssh")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("~/.ssh: %v %v", info.Mode(), err)
	}
	// ssh-keygen is who has to understand them.
	says(t, output(t, "alice", "laptop", "ssh-keygen", "-L", "-f", ".ssh/cscs-key-cert.pub"), "alice", "permit-port-forwarding")
	if pub := output(t, "alice", "laptop", "ssh-keygen", "-y", "-P", "", "-f", ".ssh/cscs-key"); !strings.HasPrefix(readFile(t, laptopHome(".ssh/cscs-key.pub")), strings.Join(strings.Fields(pub)[:2], " ")) {
		t.Errorf("the public key is of another key")
	}
}

// toReady runs a server with the key that is there, and ends it again.
func toReady(t *testing.T, words ...string) {
	t.Helper()
	s := cscs(t, append(words, "run", "--", lab.testserver, "127.0.0.1:{port}")...)
	e := s.ready()
	if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s: %s", e.URL, body)
	}
	closeReady(t, s)
}

func sshFiles(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"cscs-key", "cscs-key.pub", "cscs-key-cert.pub"} {
		text, err := os.ReadFile(laptopHome(".ssh", name))
		fmt.Fprintf(&all, "%s %v %s\n", name, err, text)
	}
	return all.String()
}
