//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// offline runs a session that must fail with this problem before it dials: the line is cut, and the answer comes at once.
func offline(t *testing.T, problem string, words ...string) event {
	t.Helper()
	unallocated(t)
	cut(t)
	began := time.Now()
	s := cscs(t, words...)
	e := s.failure(3, problem)
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v: something was asked of the network", d)
	}
	if _, dialled := s.find("connecting"); dialled {
		t.Error("it dialled")
	}
	return e
}

var plainRun = []string{"run", "--", "sleep", "600"}

// TestChainExpiredCertificate is told before anything is sent.
func TestChainExpiredCertificate(t *testing.T) {
	begin(t)
	certificate(t, "-2h:-1h")
	e := offline(t, "key-expired", plainRun...)
	if e.Hint == "" {
		t.Error("no hint how to get a new one")
	}
}

// certificate gives alice one of that validity until the test ends.
func certificate(t *testing.T, validity string) {
	t.Helper()
	t.Cleanup(func() { tell(t, "cert", "alice") })
	tell(t, "cert", "alice", validity)
}

// TestChainCertificateOfTomorrow is not valid yet.
func TestChainCertificateOfTomorrow(t *testing.T) {
	begin(t)
	certificate(t, "+1d:+2d")
	offline(t, "key-not-yet-valid", plainRun...)
}

// TestChainNoCertificate: a key alone opens nothing at CSCS.
func TestChainNoCertificate(t *testing.T) {
	for _, c := range []struct {
		name string
		gone []string
	}{
		{"no-key-at-all", []string{"cscs-key", "cscs-key.pub", "cscs-key-cert.pub"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			for _, name := range c.gone {
				hide(t, laptopHome(".ssh", name))
			}
			offline(t, "key-missing", plainRun...)
		})
	}
	t.Run("key-without-certificate", func(t *testing.T) {
		begin(t)
		unallocated(t)
		hide(t, laptopHome(".ssh/cscs-key-cert.pub"))
		s := cscs(t, plainRun...)
		e := s.failure(3, "auth-refused")
		says(t, e.Message+" "+e.Hint, "certificate")
	})
}

// hide takes a file away until the test ends.
func hide(t *testing.T, path string) {
	t.Helper()
	away := filepath.Join(t.TempDir(), filepath.Base(path))
	content := readFile(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, away, content)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		write(t, path, content)
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Error(err)
		}
		if err := os.Chown(path, labctl.AliceUID, labctl.AliceUID); err != nil {
			t.Error(err)
		}
	})
}

// TestChainEncryptedKey asks for the passphrase once, and only on a terminal.
func TestChainEncryptedKey(t *testing.T) {
	encrypt := func(t *testing.T) {
		t.Helper()
		key := "/home/alice/.ssh/cscs-key"
		output(t, "alice", "laptop", "ssh-keygen", "-q", "-p", "-P", "", "-N", "correct horse", "-f", key)
		t.Cleanup(func() {
			output(t, "alice", "laptop", "ssh-keygen", "-q", "-p", "-P", "correct horse", "-N", "", "-f", key)
		})
	}
	t.Run("terminal", func(t *testing.T) {
		begin(t)
		encrypt(t)
		m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", lab.testserver, "127.0.0.1:{port}")
		m.expect(`(?i)passphrase.*:`)
		m.send("correct horse\n")
		m.expect("ready: localhost") // the address is shown before that, too
		m.expect(`http://127\.0\.0\.1:\d+`)
		m.send(ctrlC)
		if code := m.exit(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if n := strings.Count(strings.ToLower(plain(m.stdout.String())), "passphrase"); n != 1 {
			t.Errorf("it asked %d times", n)
		}
		if strings.Contains(m.stdout.String(), "correct horse") {
			t.Error("the passphrase is on the screen")
		}
	})
	// Who shares a connection needs no key: nobody could be asked here.
	t.Run("shared", func(t *testing.T) {
		begin(t)
		sshInstalled(t)
		encrypt(t)
		m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", lab.testserver, "127.0.0.1:{port}")
		m.expect(`(?i)passphrase.*:`)
		m.send("correct horse\n")
		m.expect("ready: localhost")
		id := ps(t, "--refresh")[0].ID
		mustCmd(t, "logs", id)
		says(t, output(t, "alice", "laptop", "sh", "-c", lab.bin+" proxy "+id+" </dev/null"), "SSH-2.0-")
		m.send(ctrlC)
		if code := m.exit(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if out, err := cmd(t, "ps", "--refresh", "--cluster", "daint"); err == nil {
			t.Errorf("without one, too: %s", out)
		}
	})
	t.Run("no-terminal", func(t *testing.T) {
		begin(t)
		encrypt(t)
		offline(t, "key-passphrase", plainRun...)
	})
	t.Run("interrupted", func(t *testing.T) {
		begin(t)
		unallocated(t)
		encrypt(t)
		m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", "sleep", "600")
		m.expect(`(?i)passphrase.*:`)
		m.send(ctrlC)
		if code := m.exit(patience); code != 130 {
			t.Errorf("exit code %d", code)
		}
	})
}

// TestChainKeyInAgent: the key itself is only in the agent, its certificate on disk.
func TestChainKeyInAgent(t *testing.T) {
	begin(t)
	sock := agent(t)
	output(t, "alice", "laptop", "SSH_AUTH_SOCK="+sock, "ssh-add", "-q", ".ssh/cscs-key")
	hide(t, laptopHome(".ssh/cscs-key"))
	s := cscs(t, "SSH_AUTH_SOCK="+sock, "run", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	closeReady(t, s)
}

// TestChainUserFromCertificate: on a laptop where she is called otherwise, the
// user is the certificate's only principal.
func TestChainUserFromCertificate(t *testing.T) {
	begin(t)
	const key = "/home/mallory/.ssh/cscs-key"
	t.Cleanup(func() { tell(t, "cert", "mallory") })
	tell(t, "cert", "mallory", "+1d", "--principal", "alice", "--key", key)
	out, err := try(t, "mallory", "laptop", "timeout", "60", lab.bin, "run", "--cluster", "daint", "--no-browser", "--json", "--", "id", "-un")
	events, bad := parseEvents(out[strings.Index(out, "{"):])
	if bad != nil {
		t.Fatalf("%v\n%s", bad, out)
	}
	if err == nil || len(events) == 0 || !isSubsequence([]string{"connected", "connected", "granted"}, names(events)) {
		t.Errorf("%v\n%s", err, out)
	}
	_, _ = try(t, "root", "laptop", "rm", "-rf", "/home/mallory/.local")
}

const knownHosts = ".ssh/known_hosts"

// TestChainWrongHostKey (I7): at each hop a key that is not the known one ends
// it, with nothing sent and nothing allocated beyond that hop.
func TestChainWrongHostKey(t *testing.T) {
	other := func(t *testing.T) string {
		t.Helper()
		key := strings.Fields(readFile(t, lab.Env["LAB_HOSTKEY_nid001001"]))
		return key[0] + " " + key[1]
	}
	for _, c := range []struct{ hop, name string }{{"ela", "ela.cscs.ch"}, {"daint", "daint.alps.cscs.ch"}} {
		t.Run(c.hop, func(t *testing.T) {
			begin(t)
			unallocated(t)
			knownBut(t, c.name, c.name+" "+other(t))
			s := cscs(t, plainRun...)
			e := s.failure(3, "host-key-changed")
			says(t, e.Message, c.name, "key")
			says(t, e.Message+" "+e.Hint, "known_hosts")
		})
		t.Run(c.hop+"-revoked", func(t *testing.T) {
			begin(t)
			unallocated(t)
			key := strings.Fields(readFile(t, lab.Env["LAB_HOSTKEY_"+c.hop]))
			knownBut(t, "", "@revoked * "+key[0]+" "+key[1])
			s := cscs(t, plainRun...)
			says(t, s.failure(3, "host-key-revoked").Message, "revoked")
		})
	}
	t.Run("node", func(t *testing.T) {
		begin(t)
		impersonate(t, "nid001002", "nid001001")
		// Slurm's own commands go astray there, too; those of a batch job run on the node.
		s := serve(t, []string{"--via", "sbatch", "--nodelist", "nid001002"})
		says(t, s.failure(3, "host-key-changed").Message, "nid001002", "key")
	})
}

// impersonate has another node answer where the login node connects to node.
func impersonate(t *testing.T, node, other string) {
	t.Helper()
	file := lab.Path("daint", "/etc/hosts")
	before := readFile(t, file)
	t.Cleanup(func() { write(t, file, before) })
	address := ""
	for line := range strings.Lines(before) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == other {
			address = f[0]
		}
	}
	if address == "" {
		t.Fatalf("daint does not know %s:\n%s", other, before)
	}
	write(t, file, address+" "+node+"\n"+before)
}

// TestChainImageKeys (I7): the node's /etc/ssh has keys that its sshd does not use.
func TestChainImageKeys(t *testing.T) {
	const node = "nid001003"
	begin(t)
	shown := strings.Fields(readFile(t, lab.Env["LAB_HOSTKEY_"+node]))[1]
	if strings.Contains(readFile(t, lab.Path(node, "/etc/ssh/ssh_host_ed25519_key.pub")), shown) {
		t.Fatal("the sshd of the node uses the key in /etc/ssh")
	}
	// Over the slow line, the runner has asked sshd before the first dial meets its key.
	t.Cleanup(func() { tell(t, "rtt", "0") })
	for _, rtt := range []string{"0", "300ms"} {
		tell(t, "rtt", rtt)
		s := serve(t, []string{"--nodelist", node})
		s.ready()
		if n := s.stepReports(); n > 0 {
			t.Error("it went another way")
		}
		tell(t, "rtt", "0")
		closeReady(t, s)
	}
}

// knownBut replaces a host's line in alice's known_hosts (all others stay), and
// adds one.
func knownBut(t *testing.T, host, line string) {
	t.Helper()
	path := laptopHome(knownHosts)
	before := readFile(t, path)
	t.Cleanup(func() {
		write(t, path, before)
		if err := os.Chown(path, labctl.AliceUID, labctl.AliceUID); err != nil {
			t.Error(err)
		}
	})
	if host != "" {
		output(t, "alice", "laptop", "ssh-keygen", "-q", "-R", host)
		if err := os.Remove(path + ".old"); err != nil {
			t.Error(err)
		}
	}
	write(t, path, readFile(t, path)+line+"\n")
}

// TestChainCertAuthority: a host that only its authority vouches for.
func TestChainCertAuthority(t *testing.T) {
	begin(t)
	path := laptopHome(knownHosts)
	put(t, path, "@cert-authority *.cscs.ch "+readFile(t, lab.Env["LAB_HOST_CA_PUB"]), 0o600)
	s := serve(t, nil)
	s.ready()
	closeReady(t, s)
}

// TestChainUnknownHost: on a terminal it asks as ssh does; without one it is
// refused, with the line that adds it.
func TestChainUnknownHost(t *testing.T) {
	t.Run("no-terminal", func(t *testing.T) {
		begin(t)
		unallocated(t)
		put(t, laptopHome(knownHosts), "", 0o600)
		s := cscs(t, plainRun...)
		e := s.failure(3, "host-key-unknown")
		says(t, e.Message+" "+e.Hint, "ela.cscs.ch", "known_hosts", "ssh-ed25519 ")
		if text := readFile(t, laptopHome(knownHosts)); text != "" {
			t.Errorf("it was added all the same: %s", text)
		}
	})
	t.Run("no", func(t *testing.T) {
		begin(t)
		unallocated(t)
		put(t, laptopHome(knownHosts), "", 0o600)
		m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", "sleep", "600")
		m.expect(`SHA256:`)
		m.send("no\n")
		if code := m.exit(patience); code != 3 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("yes", func(t *testing.T) {
		begin(t)
		put(t, laptopHome(knownHosts), "", 0o600)
		m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--", lab.testserver, "127.0.0.1:{port}")
		m.expect(`ela\.cscs\.ch[\s\S]*SHA256:`)
		m.send("yes\n")
		m.expect(`daint\.alps\.cscs\.ch[\s\S]*SHA256:`)
		m.send("yes\n")
		m.expect("ready: localhost") // the address is shown before that, too
		m.expect(`http://127\.0\.0\.1:\d+`)
		m.send(ctrlC)
		if code := m.exit(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		// ssh finds the lines that were added.
		for _, host := range []string{"ela.cscs.ch", "daint.alps.cscs.ch"} {
			output(t, "alice", "laptop", "ssh-keygen", "-F", host)
		}
	})
}

// TestChainSSHConfig: names, users and keys that ~/.ssh/config gives are used.
func TestChainSSHConfig(t *testing.T) {
	begin(t)
	mkdir(t, laptopHome(".ssh/other"))
	for _, name := range []string{"cscs-key", "cscs-key-cert.pub"} {
		text := readFile(t, laptopHome(".ssh", name))
		hide(t, laptopHome(".ssh", name))
		put(t, laptopHome(".ssh/other", name), text, 0o600)
	}
	put(t, laptopHome(".ssh/config"), `
Match host nothing.like.this exec "exit 1"
    User nobody
Host ela
    HostName ela.cscs.ch
Host daint
    HostName daint.alps.cscs.ch
    ProxyJump ela
Host ela daint *.cscs.ch
    User alice
    IdentityFile ~/.ssh/other/cscs-key
    IdentitiesOnly yes
`, 0o600)
	s := serve(t, nil)
	s.ready()
	closeReady(t, s)
}
