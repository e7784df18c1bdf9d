//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// loginsAccepted counts the logins that ela's sshd has accepted from alice since the lab began.
func loginsAccepted(t *testing.T) int {
	t.Helper()
	return strings.Count(readFile(t, lab.Path("ela", "/var/log/sshd.log")), "Accepted publickey for alice ")
}

// oneWay is half of the round trip of the line in these tests.
const oneWay = 50 * time.Millisecond

// commandsTimed has alice's login shell on daint note when each command of ssh arrives there.
func commandsTimed(t *testing.T) {
	t.Helper()
	file := clusterHome(".bashrc")
	put(t, file, "echo $EPOCHREALTIME >>~/.commands\n"+readFile(t, file), 0o644)
	t.Cleanup(func() { _ = os.Remove(clusterHome(".commands")) })
	t.Cleanup(func() { _ = os.Remove(laptopHome(".begun")) })
}

// timeRequest runs cscs to its end and returns how long after its start it sent its first request to daint:
// when that arrived, less the time on the line.
func timeRequest(t *testing.T, words ...string) time.Duration {
	t.Helper()
	_ = os.Remove(clusterHome(".commands"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	argv := append([]string{"bash", "-c", `echo $EPOCHREALTIME >~/.begun; exec "$@"`, "bash", lab.bin}, words...)
	out, err := as(ctx, "alice", "laptop", argv...).CombinedOutput()
	at := func(path string) time.Duration {
		first, _, _ := strings.Cut(readFile(t, path), "\n")
		n, failed := strconv.ParseInt(strings.Replace(first, ".", "", 1), 10, 64) // microseconds
		if failed != nil {
			t.Fatalf("%s: %v; cscs: %v\n%s", path, failed, err, out)
		}
		return time.Duration(n) * time.Microsecond
	}
	return at(clusterHome(".commands")) - at(laptopHome(".begun")) - oneWay
}

// A keptRow is what cscs ps --json says of a kept connection.
type keptRow struct {
	Kind, Cluster, User, State string
	Begun                      time.Time
	Ends                       *time.Time
	PID                        int
}

// keptHere are the connections that cscs ps shows.
func keptHere(t *testing.T) (rows []keptRow) {
	t.Helper()
	for line := range strings.Lines(mustCmd(t, "ps", "--json")) {
		var r keptRow
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind == "connection" {
			rows = append(rows, r)
		}
	}
	return rows
}

// keptOne fails the test unless there is one, in that state.
func keptOne(t *testing.T, state string) keptRow {
	t.Helper()
	var rows []keptRow
	wrong := poll(patience/6, func() string { // the keeper may not have written yet that a command has gone
		rows = keptHere(t)
		if len(rows) == 1 && rows[0].State == state && rows[0].Cluster == "daint" && rows[0].User == "alice" && rows[0].PID != 0 {
			return ""
		}
		return fmt.Sprintf("%+v", rows)
	})
	if wrong != "" {
		t.Fatalf("kept: %s, want one that is %s", wrong, state)
	}
	return rows[0]
}

// nothingKept fails the test unless no process of alice's and no login is left.
func nothingKept(t *testing.T) {
	t.Helper()
	left := poll(20*time.Second, func() string { return strings.Join(processesLeft(), "\n") })
	if left != "" || len(keptHere(t)) != 0 {
		t.Errorf("left: %s", left)
	}
}

// keepers returns the processes that keep a connection.
func keepers() (pids []int) {
	for _, p := range userProcesses() {
		if p.host == "laptop" && strings.Contains(p.cmdline, "keep-connection") {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// shareSocket returns the name of a socket at which connections are shared on the laptop; "" for none.
func shareSocket() string {
	dir := lab.Path("laptop", fmt.Sprintf("/run/user/%d/cscs", labctl.AliceUID))
	files, _ := filepath.Glob(filepath.Join(dir, "*.sock"))
	for _, f := range files {
		if conn, err := net.Dial("unix", f); err == nil { // else its process was killed
			_ = conn.Close()
			return f
		}
	}
	return ""
}

// listing returns the arguments of a command that makes one request.
func listing(flags ...string) []string {
	return append([]string{"ps", "--refresh", "--cluster", "daint"}, flags...)
}

// TestPersist: with --persist, the next command makes no login at ela, and its request leaves at
// once. cscs ps shows the connection, and stop --connections leaves nothing.
func TestPersist(t *testing.T) {
	begin(t)
	commandsTimed(t)
	rtt(t, 2*oneWay)
	before := loginsAccepted(t)
	list := listing("--persist", "1m")
	run := []string{"run", "--cluster", "daint", "--persist", "1m", "--no-browser", "--", "true"}
	cold := timeRequest(t, list...)
	if n := loginsAccepted(t) - before; n != 1 {
		t.Errorf("the first command: %d logins", n)
	}
	several := func(words []string) (took []time.Duration) {
		for range 3 {
			took = append(took, timeRequest(t, words...))
		}
		return took
	}
	t.Logf("request sent at RTT 100 ms: first command %v, ps --refresh %v, run %v", cold, several(list), several(run))
	// On a busy machine the laptop's own work takes long, but not as long as a round trip of 1 s. From this distance the
	// request arrives after half of one, or after one more where a channel has to be opened first.
	rtt(t, time.Second)
	took := several(list)
	t.Logf("at RTT 1 s, the request arrives after %v", took)
	if slices.Min(took) > 1400*time.Millisecond {
		t.Error("it waits for a round trip")
	}
	if n := loginsAccepted(t) - before; n != 1 {
		t.Errorf("%d logins in all", n)
	}
	rtt(t, 2*oneWay)
	if kept := keptOne(t, "unused"); kept.Ends == nil {
		t.Errorf("cscs ps --json: %+v", kept)
	}
	says(t, mustCmd(t, "ps"), "connection to daint as alice")
	says(t, mustCmd(t, "stop", "--connections"), "connection to daint as alice: closed")
	nothingKept(t)
	says(t, mustCmd(t, "stop", "--connections"), "no connection is kept")
}

// TestPersistUnused: nothing remains after the time without a command, which config.toml gives here. What
// inherits a descriptor of the command's caller does not hold it open.
func TestPersistUnused(t *testing.T) {
	begin(t)
	put(t, laptopHome("persist.toml"), "persist = \"4s\"\n", 0o600)
	out := output(t, "alice", "laptop", "CSCS_CONFIG=persist.toml", "bash", "-c",
		`exec 9>.lock; flock 9; "$@"; exec 9>&-; flock -n .lock echo free; rm .lock`, "bash", lab.bin, "ps", "--refresh", "--cluster", "daint")
	says(t, out, "free")
	pid := keptOne(t, "unused").PID
	for _, p := range keepers() {
		if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p)); err != nil || dir != "/" {
			t.Errorf("process %d works in %s, %v", pid, dir, err)
		}
	}
	nothingKept(t)
}

// TestPersistCertificate: the connection ends with the certificate, but not under a session that uses it.
func TestPersistCertificate(t *testing.T) {
	begin(t)
	certificate(t, "-1m:+45s")
	s := serve(t, []string{"--persist", "10m"})
	e := s.ready()
	keptOne(t, "in use")
	if left := poll(patience, shareSocket); left != "" {
		t.Errorf("after the end of the certificate, others can join at %s", left)
	}
	if code, _ := get(t, e.URL); code != 200 {
		t.Errorf("the server: %d", code)
	}
	if n := len(keepers()); n != 1 {
		t.Errorf("%d keepers", n)
	}
	closeReady(t, s)
	nothingKept(t)
}

// TestPersistStop: stop --connections cuts off nothing that uses the connection: a session, the log that is
// followed, an ssh through the session, and a request that waits with salloc. New commands make their own.
func TestPersistStop(t *testing.T) {
	t.Run("session", func(t *testing.T) {
		begin(t)
		s := serve(t, []string{"--persist", "1m"})
		e := s.ready()
		id := e.Session
		t.Cleanup(func() { // the host keys of the node, for ssh
			_ = os.Remove(laptopHome(".local/state/cscs/known_hosts"))
			_ = os.Remove(laptopHome(".local/state/cscs/known_hosts.lock"))
		})
		follow := start(t, as(context.Background(), "alice", "laptop", lab.bin, "logs", "--follow", "--persist", "1m", id))
		carried := start(t, as(context.Background(), "alice", "laptop", "ssh", "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
			"-o", "ProxyCommand="+lab.bin+" proxy --persist 1m "+id, "-i", ".ssh/cscs-key", "node", "echo begun; sleep 6; echo still there"))
		carried.line("begun")
		keptOne(t, "in use")
		says(t, mustCmd(t, "stop", "--connections"), "ends with the last command")
		keptOne(t, "closing")
		says(t, mustCmd(t, "stop", "--connections"), "closing")
		before := loginsAccepted(t)
		mustCmd(t, listing()...)
		if n := loginsAccepted(t) - before; n != 1 {
			t.Errorf("%d logins", n)
		}
		if code := carried.exit(patience); code != 0 {
			t.Errorf("ssh: %d\n%s", code, carried.stderr)
		}
		carried.line("still there")
		if code, _ := get(t, e.URL); code != 200 {
			t.Errorf("the server: %d", code)
		}
		select {
		case <-follow.done:
			t.Errorf("the log is not followed any more: %s", follow.stderr)
		default:
		}
		closeReady(t, s)
		if code := follow.exit(patience); code != 0 {
			t.Errorf("logs --follow: %d\n%s", code, follow.stderr)
		}
		nothingKept(t)
	})
	t.Run("salloc", func(t *testing.T) {
		begin(t)
		free := full(t)
		s := serve(t, []string{"--via", "salloc", "--persist", "1m"})
		s.wait("queued")
		says(t, mustCmd(t, "stop", "--connections"), "ends with the last command")
		keptOne(t, "closing")
		free()
		e := s.ready()
		if code, _ := get(t, e.URL); code != 200 {
			t.Errorf("the server: %d", code)
		}
		closeReady(t, s)
		nothingKept(t)
	})
}

// TestPersistKilled: a session whose keeper is killed goes on over a connection of its own. What the keeper
// has left stops no later command.
func TestPersistKilled(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--persist", "1m"})
	e := s.ready()
	killKeeper := func() {
		t.Helper()
		pids := keepers()
		if len(pids) != 1 {
			t.Fatalf("keepers: %v", pids)
		}
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	killKeeper()
	s.wait("restored")
	if code, _ := get(t, e.URL); code != 200 {
		t.Errorf("the server: %d", code)
	}
	if kept := keptHere(t); len(kept) != 0 {
		t.Errorf("kept: %+v", kept)
	}
	closeReady(t, s)
	mustCmd(t, listing("--persist", "1m")...)
	killKeeper()
	mustCmd(t, listing("--persist", "1m")...) // finds a stale socket, lock and record
	keptOne(t, "unused")
	says(t, mustCmd(t, "stop", "--connections"), "closed")
	nothingKept(t)
}

// TestPersistAsks: the keeper asks no one. Where a login does, the command works as without --persist, asks
// once, and says why the connection is not kept.
func TestPersistAsks(t *testing.T) {
	t.Run("passphrase", func(t *testing.T) {
		begin(t)
		key := "/home/alice/.ssh/cscs-key"
		output(t, "alice", "laptop", "ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", key)
		t.Cleanup(func() {
			output(t, "alice", "laptop", "ssh-keygen", "-q", "-p", "-P", passphrase, "-N", "", "-f", key)
		})
		before := loginsAccepted(t)
		m := terminal(t, listing("--persist", "1m")...)
		m.expect("not kept: key .* needs its passphrase")
		m.expect(`(?i)passphrase.*:`)
		m.send(passphrase + "\n")
		if code := m.exit(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if n := loginsAccepted(t) - before; n != 1 {
			t.Errorf("%d logins", n)
		}
		nothingKept(t)
	})
	t.Run("agent", func(t *testing.T) {
		begin(t)
		dir := mkdir(t, laptopHome("agent"))
		put(t, dir+"/askpass", "#!/bin/sh\nsleep 4\n", 0o755)
		b := start(t, as(context.Background(), "alice", "laptop", "SSH_ASKPASS=/home/alice/agent/askpass", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0",
			"ssh-agent", "-D", "-a", agentSocket))
		b.line("SSH_AUTH_SOCK")
		output(t, "alice", "laptop", "SSH_AUTH_SOCK="+agentSocket, "ssh-add", "-q", "-c", ".ssh/cscs-key")
		hide(t, laptopHome(".ssh/cscs-key"))
		says(t, mustCmd(t, append([]string{"SSH_AUTH_SOCK=" + agentSocket}, listing("--persist", "1m")...)...), "not kept: your ssh agent")
		if kept := keptHere(t); len(kept)+len(keepers()) != 0 {
			t.Errorf("kept: %+v", kept)
		}
	})
	t.Run("second factor", func(t *testing.T) {
		begin(t)
		changed(t, "daint", "/etc/shadow", "alice:"+secretHash+":19000:0:99999:7:::")
		changed(t, "daint", "/etc/pam.d/sshd", "auth required pam_unix.so")
		sshdConfigured(t, "daint", "AuthenticationMethods publickey,keyboard-interactive:pam\nKbdInteractiveAuthentication yes")
		m := terminal(t, listing("--persist", "1m")...)
		m.expect("not kept: ")
		m.expect(`\(alice@daint\) Password: `)
		m.send("secret\r")
		if code := m.exit(patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		nothingKept(t)
	})
}

// TestPersistLogout: a logout removes the runtime directory. The keeper ends, and removes nothing of the
// next login's.
func TestPersistLogout(t *testing.T) {
	begin(t)
	mustCmd(t, listing("--persist", "5m")...)
	pid := keptOne(t, "unused").PID
	if err := os.RemoveAll(lab.Path("laptop", fmt.Sprintf("/run/user/%d/cscs", labctl.AliceUID))); err != nil {
		t.Fatal(err)
	}
	mustCmd(t, listing("--persist", "5m")...)
	gone := func() string {
		for _, r := range keptHere(t) {
			if r.PID == pid {
				return "still there"
			}
		}
		return ""
	}
	if left := poll(20*time.Second, gone); left != "" {
		t.Error(left)
	}
	keptOne(t, "unused")
	before := loginsAccepted(t)
	mustCmd(t, listing("--persist", "5m")...)
	if n := loginsAccepted(t) - before; n != 0 {
		t.Errorf("%d logins: the next one's socket is gone", n)
	}
	mustCmd(t, "stop", "--connections")
	nothingKept(t)
}

// TestPersistInterrupted: Ctrl-C while the keeper logs in ends both.
func TestPersistInterrupted(t *testing.T) {
	begin(t)
	cut(t)
	m := terminal(t, listing("--persist", "1m")...)
	if left := poll(patience, func() string {
		if len(keepers()) == 0 || shareSocket() == "" {
			return "no keeper that dials"
		}
		return ""
	}); left != "" {
		t.Fatal(left)
	}
	began := time.Now()
	m.send(ctrlC)
	if code := m.exit(patience); code != 130 || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d, after %v", code, time.Since(began))
	}
	if out := m.stdout.String(); strings.Contains(out, "not kept") {
		t.Errorf("it says more than that it was interrupted: %s", out)
	}
	tell(t, "heal")
	nothingKept(t)
}

// TestPersistMaster: an ssh of the user's that is logged in is warm already, and ssh keeps it.
func TestPersistMaster(t *testing.T) {
	begin(t)
	sshLoggedIn(t)
	mustCmd(t, listing("--persist", "1m")...)
	if kept := keptHere(t); len(kept)+len(keepers()) != 0 {
		t.Errorf("kept: %+v", kept)
	}
}
