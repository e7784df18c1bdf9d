package doctor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/slurm"
)

// A patient is a way through ela to a login node with the recorded Slurm, all on this machine.
type patient struct {
	*slurmtest.Cluster
	Config
	way   CheckTarget
	mu    sync.Mutex // of shell: a command may outlive the check that it is for
	shell func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int
	node  *sshtest.Server
	shut  error // of the login node, to connections to the node
}

// setShell sets what the login node's commands do.
func (p *patient) setShell(shell func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shell = shell
}

func newPatient(t *testing.T, env ...string) *patient {
	t.Helper()
	p := &patient{Cluster: slurmtest.New(t, env...)}
	signer := sshtest.NewKey(t)
	keys := []ssh.PublicKey{signer.PublicKey()}
	p.shell = func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
		err := p.Exec(context.Background(), cmd, stdin, stdout, stderr)
		var status slurmtest.ExitError
		if errors.As(err, &status) {
			return status.ExitStatus()
		}
		return 0
	}
	p.node = sshtest.Start(t, sshtest.Config{Keys: keys})
	login := sshtest.Start(t, sshtest.Config{Keys: keys, Exec: func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
		p.mu.Lock()
		shell := p.shell
		p.mu.Unlock()
		return shell(cmd, stdin, stdout, stderr)
	}, Dial: func(network, _ string) (net.Conn, error) {
		if p.shut != nil {
			return nil, p.shut
		}
		return net.Dial(network, p.node.Addr())
	}})
	ela := sshtest.Start(t, sshtest.Config{Keys: keys, Dial: func(network, _ string) (net.Conn, error) { return net.Dial(network, login.Addr()) }})
	host, port, err := net.SplitHostPort(ela.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	id := &key.Identity{Signer: signer, Path: "/keys/cscs-key", Cert: certificate(), Principals: []string{"alice"},
		ValidBefore: time.Now().Add(20 * time.Hour)}
	p.way = CheckTarget{
		Hosts: []site.Host{{Name: "ela", Asked: "ela", HostName: host, Port: n, User: "alice"}, {Name: "daint", HostName: "daint", Port: 22, User: "alice"}},
		Keys:  []*key.Identity{id, id},
		Known: []chain.HostKeys{chain.PinnedKeys(ela.HostKey()), chain.PinnedKeys(login.HostKey())},
		NodeHop: func(node string, _ chain.HostKeys) chain.Hop {
			return chain.Hop{Name: node, Addr: node + ":22", User: "alice", Signer: signer, HostKeys: chain.PinnedKeys(p.node.HostKey())}
		},
	}
	p.way.Hops = []chain.Hop{
		{Name: "ela", Addr: ela.Addr(), User: "alice", Signer: signer, HostKeys: p.way.Known[0]},
		{Name: "daint", Addr: "daint:22", User: "alice", Signer: signer, HostKeys: p.way.Known[1]},
	}
	dir := t.TempDir()
	t.Setenv("SSH_AUTH_SOCK", "")
	p.Config = Config{
		SSHDir: filepath.Join(dir, ".ssh"), SSHConfig: filepath.Join(dir, ".ssh", "config"), StateDir: filepath.Join(dir, "state"),
		Target: func(context.Context) CheckTarget { return p.way }, CanOpen: func() bool { return true },
		Explain: func(err error) Explanation {
			return Explanation{ID: fmt.Sprintf("%T", err), Message: err.Error(), Hint: "mend it", Fix: "mend", Code: 7}
		},
	}
	return p
}

// harmlessFacts are the words, numbers, versions and times that facts may consist of.
var harmlessFacts = regexp.MustCompile(`(because|of|hosts|valid|for|identities|IdentitiesOnly|free|addresses|IPv4|IPv6|shell|other|bash|start|ahead|used|version|up|accounts|logins|jobs|sessions` +
	`|the key's passphrase, which is not known|config|key|agent|names|tcp|ssh|host-key|auth|login|slurm|\d{2}\.\d{2}(\.\d{1,2})?|-?(\d+h)?(\d+m)?\d+(\.\d+)?[mµ]?s|-?(\d+h)?\d+[hm]|\d+)(, |: | %| |$)`)

// TestHarmlessFacts: no address and no name is taken for a harmless fact.
func TestHarmlessFacts(t *testing.T) {
	for _, facts := range []string{"version: 10.1.2.3", "version: 192.168.0.1", "up: ::1", "version: 2001:1:2:3", "shell: alice", "start: 10.1.2.3s", "shell: al-ice"} {
		if harmlessFacts.ReplaceAllString(facts, "") == "" {
			t.Errorf("%q is taken for harmless", facts)
		}
	}
}

// TestSlurmRelease: only a release of Slurm is published, whatever a site puts in place of its commands.
func TestSlurmRelease(t *testing.T) {
	for answer, want := range map[string]string{
		"slurm 25.05.9": "25.05.9", "slurm-wlm 22.05.8": "22.05.8", "slurm 24.11 (cscs demo)": "24.11", "slurm 24.05.0-0rc1": "24.05.0-0rc1", "slurm 23.11.7-zebra": "23.11.7",
		"10.1.2.3 slurm 25.05.9": "other", "10.10.10": "other", "slurm 10.10.2.3": "other", "slurm 192.168.0.1": "other", "slurm zebra": "other", "slurm 25.05.123": "other", "": "other",
	} {
		if got := slurmRelease(answer); got != want {
			t.Errorf("%q: %q, want %q", answer, got, want)
		}
	}
}

// run looks at everything; it gives what each check says worst, and the error.
func (p *patient) run(t *testing.T) (map[string]Result, error) {
	t.Helper()
	rank := map[Status]int{OK: 0, Skipped: 1, Warning: 2, Failure: 3}
	all := map[string]Result{}
	var order []string
	err := Run(t.Context(), p.Config, func(r Result) {
		if have, ok := all[r.Check]; !ok || rank[r.Status] > rank[have.Status] {
			all[r.Check] = r
		}
		order = append(order, r.Check)
		if rest := harmlessFacts.ReplaceAllString(r.Facts, ""); rest != "" {
			t.Errorf("%s: the facts %q are to be published, and may have a name: %q", r.Check, r.Facts, rest)
		}
	})
	i := 0
	for _, c := range allChecks() { // each is told, in their order
		if i >= len(order) || order[i] != c.name {
			t.Fatalf("in this order: %v", order)
		}
		for i < len(order) && order[i] == c.name {
			i++
		}
	}
	return all, err
}

func (p *patient) want(t *testing.T, check string, status Status, words ...string) Result {
	t.Helper()
	all, err := p.run(t)
	r := all[check]
	if r.Status != status {
		t.Errorf("want %s %s, got %+v", check, status, r)
	}
	for _, w := range words {
		if !strings.Contains(r.Seen, w) {
			t.Errorf("%s does not say %q: %q", check, w, r.Seen)
		}
	}
	if (status == Failure) != (err != nil) {
		t.Errorf("%s is a %s, and the error %v", check, status, err)
	}
	return r
}

func TestHealthy(t *testing.T) {
	p := newPatient(t)
	all, err := p.run(t)
	for name, r := range all {
		if r.Status != OK && name != "node" {
			t.Errorf("%+v", r)
		}
	}
	if err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(all["slurm"].Facts, "version: 2") || all["shell"].Facts == "" || all["config"].Facts != "hosts: 2" {
		t.Errorf("facts: %q, %q, %q", all["slurm"].Facts, all["shell"].Facts, all["config"].Facts)
	}
}

// TestAilments: what the lab cannot have; broken, and mended.
func TestAilments(t *testing.T) {
	for _, tt := range []struct {
		name, check string
		status      Status
		words       []string
		env         string // of the cluster
		busy        bool   // a job runs there
		harm, mend  func(p *patient)
	}{
		{name: "clock slow", check: "clock", status: Failure, words: []string{"behind that of daint", "10m"},
			harm: func(p *patient) { p.Now = func() time.Time { return time.Now().Add(-10*time.Minute - 20*time.Second) } }, mend: func(p *patient) { p.Now = nil }},
		{name: "clock fast", check: "clock", status: Warning, words: []string{"ahead of that of daint", "2m"},
			harm: func(p *patient) { p.Now = func() time.Time { return time.Now().Add(2*time.Minute + 20*time.Second) } }, mend: func(p *patient) { p.Now = nil }},
		{name: "no way by IPv6", check: "tcp", status: Warning, words: []string{"answers by IPv4, but not by IPv6 (::1)", "refused"},
			harm: func(p *patient) { p.Lookup = both }, mend: func(p *patient) { p.Lookup = nil }},
		{name: "names that do not end", check: "names", status: Failure, words: []string{"no answer"},
			harm: func(p *patient) { p.Limit, p.Lookup = 3*time.Second, never }, mend: func(p *patient) { p.Lookup, p.Limit = nil, 0 }},
		{name: "a bare key", check: "key", status: Warning, words: []string{"has no certificate"},
			harm: func(p *patient) { p.way.Keys = []*key.Identity{bare(p), bare(p)} }, mend: func(p *patient) { p.way.Keys = []*key.Identity{whole(p), whole(p)} }},
		{name: "a certificate without forwarding", check: "key", status: Failure, words: []string{"does not permit port forwarding"},
			harm: func(p *patient) { p.way.Keys[0].Cert.Extensions = nil }, mend: func(p *patient) { p.way.Keys[0].Cert = certificate() }},
		{name: "a certificate for nobody", check: "key", status: Failure, words: []string{"is for no user"},
			harm: func(p *patient) { p.way.Keys[0].Cert.ValidPrincipals, p.way.Keys[0].Principals = nil, nil },
			mend: func(p *patient) { p.way.Keys[0].Cert, p.way.Keys[0].Principals = certificate(), []string{"alice"} }},
		{name: "a certificate for one command", check: "key", status: Failure, words: []string{"one command alone"},
			harm: func(p *patient) { p.way.Keys[0].Cert.CriticalOptions = map[string]string{"force-command": "date"} },
			mend: func(p *patient) { p.way.Keys[0].Cert = certificate() }},
		{name: "a login shell that is slow", check: "shell", status: Warning, words: []string{"login shell on daint take "},
			harm: func(p *patient) {
				shell := p.shell
				p.setShell(func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
					waittest.SpendRealTime(slowShell + 50*time.Millisecond) // the delay that the check reports
					return shell(cmd, stdin, stdout, stderr)
				})
			},
			mend: func(p *patient) { p.setShell(direct(p)) }},
		{name: "no Slurm", check: "slurm", status: Failure, words: []string{"squeue and salloc were not found"},
			harm: func(p *patient) { p.Setenv("PATH=/usr/bin:/bin") }, mend: func(p *patient) { p.Setenv("PATH=" + fakes() + ":/usr/bin:/bin") }},
		{name: "Slurm's own words", check: "slurm", status: Failure, words: []string{"Unable to contact slurm controller"},
			harm: func(p *patient) { p.Setenv("FAKE_SINFO_ERROR=Unable to contact slurm controller (connect failure)") }, mend: func(p *patient) { p.Setenv("FAKE_SINFO_ERROR=") }},
		{name: "all partitions down", check: "partitions", status: Failure, words: []string{"no partition is up"},
			harm: func(p *patient) { p.Setenv(`FAKE_SINFO=normal*|up|1:00|3|drained*\ndebug|down|1:00|3|idle\n`) }, mend: func(p *patient) { p.Setenv(`FAKE_SINFO=normal*|up|1:00|2|drained\nnormal*|up|1:00|1|mixed\n`) }},
		{name: "no account", check: "account", status: Failure, words: []string{"no account of yours"},
			harm: func(p *patient) { p.Setenv("FAKE_ACCOUNTS=") }, mend: func(p *patient) { p.Setenv(`FAKE_ACCOUNTS=g1||\n`) }},
		{name: "an account of others", check: "account", status: Failure, words: []string{"g9 is none of yours"}, env: `FAKE_ACCOUNTS=g1||\ng2||\n`,
			harm: func(p *patient) { p.Account = "g9" }, mend: func(p *patient) { p.Account = "g2" }},
		{name: "as many jobs as may be", check: "sessions", status: Warning, words: []string{"1 of at most 1 running jobs", "csstaff"}, busy: true,
			harm: func(p *patient) { p.Setenv(`FAKE_ACCOUNTS=csstaff|1|\n`) }, mend: func(p *patient) { p.Setenv(`FAKE_ACCOUNTS=csstaff|5|9\n`) }},
		{name: "a node that is shut", check: "node", status: Warning, words: []string{"no ssh to nid001001 though job 4711 runs there"}, busy: true,
			harm: func(p *patient) { p.shut = errors.New("closed") }, mend: func(p *patient) { p.shut = nil }},
		{name: "a configuration that cannot be read", check: "config", status: Failure, words: []string{"x"},
			harm: func(p *patient) { p.way.HostsErr = errors.New("x") }, mend: func(p *patient) { p.way.HostsErr = nil }},
		{name: "a ~/.ssh that takes no file", check: "files", status: Warning, words: []string{"cannot write in", "not a directory"},
			harm: func(p *patient) { _ = os.WriteFile(p.SSHDir, nil, 0o600) }, mend: func(p *patient) { _ = os.Remove(p.SSHDir) }},
		{name: "a known_hosts that is no file", check: "files", status: Warning, words: []string{"known_hosts", "no regular file"},
			harm: func(p *patient) { _ = os.MkdirAll(p.knownHosts(), 0o700) }, mend: func(p *patient) { _ = os.Remove(p.knownHosts()) }},
		{name: "a link to itself for a configuration", check: "files", status: Warning, words: []string{".ssh/config", "symbolic links"},
			harm: func(p *patient) { _ = os.Mkdir(p.SSHDir, 0o700); _ = os.Symlink("config", p.SSHConfig) }, mend: func(p *patient) { _ = os.Remove(p.SSHConfig) }},
		{name: "a config.toml of everybody's", check: "files", status: Failure, words: []string{"config.toml", "0666"},
			harm: func(p *patient) { p.settings(0o700, 0o666) }, mend: func(p *patient) { p.settings(0o700, 0o644) }},
		{name: "a config.toml of the group's", check: "files", status: Warning, words: []string{"config.toml", "0664"},
			harm: func(p *patient) { p.settings(0o700, 0o664) }, mend: func(p *patient) { p.settings(0o755, 0o600) }},
		{name: "a config.toml in everybody's directory", check: "files", status: Failure, words: []string{"0777"},
			harm: func(p *patient) { p.settings(0o777, 0o600) }, mend: func(p *patient) { p.settings(0o777|os.ModeSticky, 0o600) }},
		{name: "a browser", check: "browser", status: Warning,
			harm: func(p *patient) { p.CanOpen = func() bool { return false } }, mend: func(p *patient) { p.CanOpen = func() bool { return true } }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var env []string
			if tt.env != "" {
				env = append(env, tt.env)
			}
			p := newPatient(t, env...)
			if tt.busy {
				p.occupy(t)
			}
			tt.harm(p)
			p.want(t, tt.check, tt.status, tt.words...)
			tt.mend(p)
			p.want(t, tt.check, OK)
		})
	}
}

// settings makes a config.toml with these permissions.
func (p *patient) settings(dir, file os.FileMode) {
	p.Settings = filepath.Join(filepath.Dir(p.SSHDir), "config", "config.toml")
	_ = os.MkdirAll(filepath.Dir(p.Settings), 0o700)
	_ = os.WriteFile(p.Settings, nil, 0o600)
	_ = os.Chmod(p.Settings, file)
	_ = os.Chmod(filepath.Dir(p.Settings), dir)
}

// fakes is where the recorded Slurm is.
func fakes() string {
	dir, _ := filepath.Abs("../slurmtest/bin")
	return dir
}

func direct(p *patient) func(string, io.Reader, io.Writer, io.Writer) int {
	return func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
		_ = p.Exec(context.Background(), cmd, stdin, stdout, stderr)
		return 0
	}
}

func both(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
}

func never(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func certificate() *ssh.Certificate {
	return &ssh.Certificate{ValidPrincipals: []string{"alice"}, Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}}}
}

func whole(p *patient) *key.Identity {
	id := *p.way.Keys[0]
	id.Cert, id.Principals, id.ValidBefore = certificate(), []string{"alice"}, time.Now().Add(20*time.Hour)
	return &id
}

func bare(p *patient) *key.Identity {
	id := *p.way.Keys[0]
	id.Cert, id.Principals, id.ValidBefore = nil, nil, time.Time{}
	return &id
}

// occupy gives the patient a running job, a session's.
func (p *patient) occupy(t *testing.T) {
	t.Helper()
	if err := p.Exec(t.Context(), "salloc --no-shell --job-name=cscs-k7k7k7k7", strings.NewReader(""), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(p.Home, ".cscs", "fake", "k7k7k7k7")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	alive := "alive\tjob=4711\tstep=0\tnode=nid001001\thostkey=" + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p.node.HostKey()))) + "\n"
	for name, text := range map[string]string{"mark": "cscs k7k7k7k7\n", "events": alive} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClockFromCertificate: without a login, the certificate's own times say something; of one
// that was copied, or restored, after it had run out they do not.
func TestClockFromCertificate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k-cert.pub")
	p := newPatient(t)
	write(t, file)
	p.way.Hops, p.way.Keys = nil, nil
	for _, c := range []struct {
		err  error
		told int
	}{
		{&key.ExpiredError{Path: file, Until: time.Now().Add(-3 * time.Hour)}, 0},
		{&key.NotYetValidError{Path: file, From: time.Now().Add(3 * time.Hour)}, 1},
	} {
		p.way.KeyErr = c.err
		var clock *ClockError
		n, seen := 0, map[string]bool{}
		if got := Run(t.Context(), p.Config, func(r Result) {
			if r.Check == "key" && errors.As(r.Err, &clock) {
				n++
			}
			seen[r.Check] = true
			// What needs no key is looked at all the same.
			if (r.Check == "ssh" || r.Check == "host-key") && r.Status != OK || r.Check == "auth" && r.Status != Skipped {
				t.Errorf("%+v", r)
			}
		}); !errors.Is(got, c.err) || n != c.told || n > 0 && clock.Ahead > -2*time.Hour {
			t.Errorf("%v: error %v, %d times the clock: %+v", c.err, got, n, clock)
		}
		if !seen["ssh"] || !seen["host-key"] || !seen["auth"] {
			t.Errorf("%v: checked %v", c.err, seen)
		}
	}
}

// TestShutKey: a key with a passphrase is no failure; what it is needed for is skipped, and
// says why.
func TestShutKey(t *testing.T) {
	p := newPatient(t)
	p.way.Hops, p.way.Keys, p.way.KeyErr = nil, nil, &key.PassphraseError{Path: "/k", Err: key.ErrNoTerminal}
	all, err := p.run(t)
	var shut *ShutKeyError
	if r := all["key"]; err != nil || r.Status != Warning || !errors.As(r.Err, &shut) {
		t.Errorf("%v: %+v", err, r)
	}
	for _, c := range []string{"auth", "login", "shell", "slurm", "node"} {
		if r := all[c]; r.Status != Skipped || !strings.Contains(r.Seen, "passphrase") {
			t.Errorf("%+v", r)
		}
	}
	if r := all["host-key"]; r.Status != OK {
		t.Errorf("%+v", r)
	}
	if r := all["agent"]; r.Status != Warning { // one would help
		t.Errorf("%+v", r)
	}
}

// TestNothingShown: without a key of the user's, no server is asked to let anybody in.
func TestNothingShown(t *testing.T) {
	shown := 0
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	ela := sshtest.Start(t, sshtest.Config{HostKeys: []ssh.Signer{host}, Account: func(string) error { shown++; return nil }, Anyone: true})
	p := newPatient(t)
	name, port, _ := net.SplitHostPort(ela.Addr())
	p.way.Hosts[0].HostName = name
	p.way.Hosts[0].Port, _ = strconv.Atoi(port)
	p.way.Known = []chain.HostKeys{chain.PinnedKeys(host.PublicKey())}
	p.way.Hops, p.way.Keys, p.way.KeyErr = nil, nil, &key.MissingError{}
	if all, _ := p.run(t); all["host-key"].Status != OK || all["auth"].Status != Skipped {
		t.Errorf("%+v", all["host-key"])
	}
	p.way.Known, p.way.KnownErr = nil, errors.New("x")
	p.want(t, "host-key", Failure)
	if n := len(ela.Offered()); n > 0 || shown > 0 {
		t.Errorf("%d keys were shown", n)
	}
}

// TestNeverHangs: whatever does not come to an end is left behind, and told.
func TestNeverHangs(t *testing.T) {
	p := newPatient(t)
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	p.Limit = 3 * time.Second
	p.CanOpen = func() bool { <-stuck; return true }
	p.setShell(func(string, io.Reader, io.Writer, io.Writer) int { <-stuck; return 0 })
	began := time.Now()
	all, _ := p.run(t)
	if took := time.Since(began); took > p.Limit {
		t.Errorf("it took %s", took)
	}
	var late *Error
	var hang *slurm.RemoteError
	if r := all["browser"]; r.Status != Failure || !errors.As(r.Err, &late) || late.ID != "overtime" {
		t.Errorf("%+v", r)
	}
	if r := all["shell"]; r.Status != Failure || !errors.As(r.Err, &hang) || hang.Kind != "hang" {
		t.Errorf("%+v", r)
	}
}

// TestTalkError: the message has the number of lines, and the first line.
func TestTalkError(t *testing.T) {
	for text, want := range map[string]string{"hi": "on daint print 1 line in", "hi\nho": "on daint print 2 lines in"} {
		if e := newTalkError("daint", text); !strings.Contains(e.Message, want) || !strings.HasSuffix(e.Message, ": hi") {
			t.Errorf("%q: %s", text, e.Message)
		}
	}
}

func write(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
