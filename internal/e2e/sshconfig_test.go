//go:build lab

package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sshInstalled has alice's ssh know of cscs for the length of the test.
func sshInstalled(t *testing.T) {
	t.Helper()
	mustCmd(t, "ssh-config", "--install")
	t.Cleanup(func() { mustCmd(t, "ssh-config", "--uninstall") })
}

// ssh runs the real OpenSSH on the laptop, as alice.
func ssh(t *testing.T, stdin []byte, argv ...string) (stdout []byte, stderr string, err error) {
	t.Helper()
	c := as(t.Context(), "alice", "laptop", argv...)
	var out, said bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(stdin), &out, &said
	err = c.Run()
	return out.Bytes(), said.String(), err
}

func mustSSH(t *testing.T, stdin []byte, argv ...string) string {
	t.Helper()
	out, said, err := ssh(t, stdin, argv...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, said)
	}
	return strings.TrimSpace(string(out))
}

// blob is much that does not repeat.
func blob(size int) []byte {
	b := make([]byte, 0, size+sha256.Size)
	for sum := sha256.Sum256(nil); len(b) < size; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:size]
}

// rsyncOnCluster puts this machine's rsync, with the libraries that it needs, where every host of the
// cluster has it: none of the trees brings one. It gives what goes after --rsync-path.
func rsyncOnCluster(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(lab.Env["CLUSTER_HOMES"], "rsync")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, err := exec.LookPath("rsync")
	if err != nil {
		t.Fatal(err)
	}
	needs, err := exec.CommandContext(t.Context(), "ldd", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	loader := ""
	for _, f := range append(strings.Fields(string(needs)), binary) {
		if !filepath.IsAbs(f) {
			continue
		}
		data, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.Base(f), "ld-") {
			loader = filepath.Base(f)
		}
	}
	return fmt.Sprintf("/home/rsync/%s --library-path /home/rsync /home/rsync/rsync", loader)
}

// throughSSH does what people do with a session's node, by OpenSSH's programs and rsync.
func throughSSH(t *testing.T, host, node string) {
	if got := mustSSH(t, nil, "ssh", host, "hostname"); got != node {
		t.Errorf("%s is %s", host, got)
	}
	// The end of the input is told, and all of the output comes after it.
	data := blob(5 << 20)
	out, said, err := ssh(t, data, "ssh", host, "cat; echo the end")
	if err != nil || !bytes.Equal(out, append(bytes.Clone(data), "the end\n"...)) {
		t.Errorf("%d bytes came back of %d: %v %s", len(out), len(data), err, said)
	}
	put(t, laptopHome("blob"), string(data), 0o600)
	mkdir(t, clusterHome("there"))
	back := filepath.Join(mkdir(t, laptopHome("back")), "blob")
	for name, c := range map[string][2][]string{
		"scp":    {{"scp", "-q", "blob", host + ":there/1"}, {"scp", "-q", host + ":there/1", "back/blob"}},
		"scp -O": {{"scp", "-q", "-O", "blob", host + ":there/2"}, {"scp", "-q", "-O", host + ":there/2", "back/blob"}},
		"sftp":   {{"sh", "-c", "echo put blob there/3 | sftp -q -b - " + host}, {"sh", "-c", "echo get there/3 back/blob | sftp -q -b - " + host}},
		"rsync":  {{"rsync", "--rsync-path=" + rsyncOnCluster(t), "blob", host + ":there/4"}, {"rsync", "--rsync-path=" + "/home/rsync/" + loaderOf(t), host + ":there/4", "back/blob"}},
	} {
		mustSSH(t, nil, c[0]...)
		mustSSH(t, nil, c[1]...)
		if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
		}
		_ = os.Remove(back)
	}
	if left, err := os.ReadDir(clusterHome("there")); err != nil || len(left) != 4 {
		t.Errorf("%d files are there, %v", len(left), err)
	}
}

// loaderOf is the rest of rsyncOnCluster's answer, once it is there.
func loaderOf(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(lab.Env["CLUSTER_HOMES"], "rsync", "ld-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return filepath.Base(found[0]) + " --library-path /home/rsync /home/rsync/rsync"
}

// TestSSHToSession: the real ssh, scp, sftp and rsync reach a session's node by its name,
// over the connection of the process that attends it; beside it, the server goes on.
func TestSSHToSession(t *testing.T) {
	begin(t)
	sshInstalled(t)
	s := serve(t, []string{"--nodelist", "nid001001"})
	e := s.ready()
	host := "cscs-" + e.Session
	logins := loginsAtEla()
	throughSSH(t, host, "nid001001")
	// A command's status, and one that ends while there is more input.
	var status *exec.ExitError
	if _, _, err := ssh(t, blob(5<<20), "ssh", host, "exit 7"); !errors.As(err, &status) || status.ExitCode() != 7 {
		t.Errorf("exit 7 is %v", err)
	}
	if got := mustSSH(t, blob(5<<20), "ssh", host, "head -c 3 | wc -c"); got != "3" {
		t.Errorf("3 is %s", got)
	}

	// Several at once, by the beginning of the ID: none of them logs in anew.
	gate := newGate(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			mustSSH(t, nil, "ssh", host[:len("cscs-")+4], "echo x >>~/gate/in; read -r _ <~/gate/open")
		})
	}
	if left := poll(patience, func() string {
		if n := len(gateIn()); n < 4 {
			return fmt.Sprint(n)
		}
		return ""
	}); left != "" {
		t.Errorf("of 4 there are %s", left)
	}
	if now := loginsAtEla(); now != logins {
		t.Errorf("%d logins at ela, were %d", now, logins)
	}
	for range 4 {
		gate.pass()
	}
	all.Wait()
	if code, body := get(t, e.URL); code != http.StatusOK {
		t.Errorf("the session: %d %s", code, body)
	}
	known := readFile(t, laptopHome(".local/state/cscs/known_hosts"))
	if !strings.Contains(known, host+" ssh-ed25519 ") || strings.Contains(known, "nid001002") {
		t.Errorf("known: %s", known)
	}
	closeReady(t, s)

	_, said, err := ssh(t, nil, "ssh", host, "true")
	if err == nil {
		t.Error("there is a way to a session that has ended")
	}
	says(t, said, "no live session", e.Session)
}

// gateIn is what has come to the gate.
func gateIn() []byte {
	in, _ := os.ReadFile(clusterHome("gate/in"))
	return bytes.ReplaceAll(in, []byte("\n"), nil)
}

// loginsAtEla counts alice's connections there.
func loginsAtEla() int {
	n := 0
	for _, p := range userProcesses() {
		if p.host == "ela" && strings.Contains(p.cmdline, "sshd") {
			n++
		}
	}
	return n
}

// TestSSHToDetached: no process of the laptop attends the session; ssh makes its own way.
func TestSSHToDetached(t *testing.T) {
	begin(t)
	sshInstalled(t)
	s := serve(t, []string{"--nodelist", "nid001001"})
	id := s.ready().Session
	mustCmd(t, "detach", id)
	s.end(0)
	if got := mustSSH(t, nil, "ssh", "cscs-"+id, "hostname"); got != "nid001001" {
		t.Error(got)
	}
	// On another laptop there is no record of it.
	if got := mustSSH(t, nil, "env", another, "CSCS_CLUSTER=daint", "ssh", "-o", "UserKnownHostsFile=/tmp/another/cscs/known_hosts", "cscs-"+id[:5], "hostname"); got != "nid001001" {
		t.Error(got)
	}
	mustCmd(t, "stop", id)
}

// TestSSHThroughStep: the node refuses every ssh client. A step of the job has an sshd for the
// user's own ssh, with a terminal, too.
func TestSSHThroughStep(t *testing.T) {
	begin(t)
	sshInstalled(t)
	sshdStopped(t)
	s := serveBarred(t)
	e := s.ready()
	host := "cscs-" + e.Session
	throughSSH(t, host, barred)
	if got := mustSSH(t, nil, "ssh", "-q", "-tt", host, "tty"); !strings.HasPrefix(got, "/dev/pts/") {
		t.Errorf("the terminal is %s", got)
	}
	// What is left is the session's own: srun and its shepherd.
	if left := poll(patience, notOneStep); left != "" {
		t.Errorf("steps were left:\n%s", left)
	}
	closeReady(t, s)
}

// TestSSHConfigRoundTrip: what alice has stays as it is; ssh knows the clusters in between,
// and cscs itself goes the same way as before.
func TestSSHConfigRoundTrip(t *testing.T) {
	begin(t)
	before := "# alice's\nHost eiger\n    HostName eiger.example.org\nHost *\n    ServerAliveInterval 60\n"
	put(t, laptopHome(".ssh/config"), before, 0o600)
	out := mustCmd(t, "ssh-config", "--install")
	says(t, out, "eiger")
	if got := mustSSH(t, nil, "ssh", "-o", "UpdateHostKeys=no", "daint", "hostname"); got != "daint" {
		t.Errorf("daint is %s", got)
	}
	if got := mustSSH(t, nil, "ssh", "-G", "eiger"); !strings.Contains(got, "hostname eiger.example.org\n") {
		t.Errorf("eiger is not alice's own any more: %s", got)
	}
	s := serve(t, nil)
	s.ready()
	closeReady(t, s)
	mustCmd(t, "ssh-config", "--install") // again, over its own
	mustCmd(t, "ssh-config", "--uninstall")
	if got := readFile(t, laptopHome(".ssh/config")); got != before {
		t.Errorf("alice's configuration is %q", got)
	}
}

// TestSSHDoesNotHoldUp: an ssh that is open holds up the end of the session that it shares the
// connection of for some seconds only, and is told why it ends.
func TestSSHDoesNotHoldUp(t *testing.T) {
	begin(t)
	sshInstalled(t)
	s := serve(t, nil)
	host := "cscs-" + s.ready().Session
	open := start(t, as(t.Context(), "alice", "laptop", "ssh", "-tt", host, "echo in; exec sleep 1000")) // whom its terminal ends with it
	open.line("in")
	began := time.Now()
	s.signal(syscall.SIGINT)
	s.end(0)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %s", took)
	}
	if code := open.exit(patience); code != 255 {
		t.Errorf("ssh ends with %d", code)
	}
	// A node that ends its processes with the job is quicker than our words.
	if said := open.stderr.String(); !strings.Contains(said, "has ended") && !strings.Contains(said, "closed by") {
		t.Errorf("it says %q", said)
	}
}

// TestSSHToQueued: a session that has no node yet says so.
func TestSSHToQueued(t *testing.T) {
	begin(t)
	sshInstalled(t)
	occupy(t, "alice", "-N", fmt.Sprint(len(lab.Nodes)))
	mustCmd(t, "run", "--cluster", "daint", "--detach", "--", lab.testserver, "127.0.0.1:{port}")
	id := ps(t)[0].ID
	_, said, err := ssh(t, nil, "ssh", "cscs-"+id, "true")
	if err == nil {
		t.Error("there is a way to it")
	}
	says(t, said, "has no node yet", id)
	mustCmd(t, "stop", id)
}
