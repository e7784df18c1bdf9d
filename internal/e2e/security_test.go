//go:build lab

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// onShared are the flags for a part of one node that others may use too.
var onShared = []string{"--partition", "shared", "--nodelist", "nid001001", "--slurm=--ntasks=1", "--slurm=--cpus-per-task=1"}

// mallorysServer listens on the node that alice will get a part of.
func mallorysServer(t *testing.T, flags ...string) *background {
	t.Helper()
	job := occupy(t, "mallory", "-p", "shared", "-w", "nid001001", "-n1", "-c1")
	return inJob(t, "mallory", job, append([]string{lab.testserver, "-name", "mallory", "-tell"}, flags...)...)
}

// untouched fails the test if a byte has reached mallory's server, which listens on that
// port of nid001001. A connection that is closed without one tells nothing.
func untouched(t *testing.T, m *background, port string) {
	t.Helper()
	// What she would have been sent stands before this, and this does arrive.
	c, err := lab.Dial(t.Context(), "nid001001", "127.0.0.1:"+port)
	if err != nil {
		t.Fatalf("mallory's server does not answer: %v", err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprint(c, "control"); err != nil {
		t.Fatal(err)
	}
	m.line(`received "control"`)
	for line := range strings.Lines(m.stdout.String()) {
		if strings.HasPrefix(line, "received") && strings.TrimSpace(line) != `received "control"` {
			t.Errorf("mallory's server %s", line)
		}
	}
}

// TestSecurityPortTaken (I5): mallory has the port already, or takes it between the
// runner's look at it and the server's start. Alice's server cannot listen; what
// listens is not taken for it.
func TestSecurityPortTaken(t *testing.T) {
	fails, silent := []string{lab.testserver, "127.0.0.1:{port}"}, []string{"sleep", "600"}
	for _, c := range []struct {
		name    string
		server  []string
		later   bool // mallory comes after the runner's look
		problem string
		says    []string
	}{
		{"server-fails", fails, false, "server-port", []string{"7000", "mallory"}},
		{"server-is-silent", silent, false, "server-port", []string{"7000", "mallory"}},
		{"after-the-look/server-fails", fails, true, "server-port", []string{"7000"}},
		{"after-the-look/server-is-silent", silent, true, "start-timeout", []string{"7000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			words := append([]string{"run", "--start-timeout", "8s", "--port", "7000"}, onShared...)
			var m *background
			var g *gate
			if c.later {
				g = newGate(t)
				words = append(words, "--setup", gateSetup)
			} else {
				m = mallorysServer(t, "127.0.0.1:7000")
				m.line("listens")
			}
			s := cscs(t, append(append(words, "--"), c.server...)...)
			if c.later {
				g.reached(1)
				m = mallorysServer(t, "127.0.0.1:7000")
				m.line("listens")
				g.pass()
			}
			e := s.failure(5, c.problem)
			says(t, e.Message+" "+e.Hint, c.says...)
			if _, ready := s.find("ready"); ready {
				t.Error("ready, with mallory's server at the other end")
			}
			untouched(t, m, "7000")
		})
	}
}

// TestSecurityFreePortTaken (I5): mallory takes the port that the runner has chosen,
// before alice's server does. Another is chosen, and that is told.
func TestSecurityFreePortTaken(t *testing.T) {
	begin(t)
	g := newGate(t)
	s := serve(t, append([]string{"--setup", gateSetup}, onShared...))
	port := g.reached(1)
	m := mallorysServer(t, "127.0.0.1:"+port)
	m.line("listens")
	g.pass()
	other := g.reached(2)
	if other == port {
		t.Errorf("port %s was taken, and is tried again", port)
	}
	g.pass()
	says(t, s.wait("warning").Message, port, "taken")
	e := s.ready()
	if e.Remote != "127.0.0.1:"+other {
		t.Errorf("forwarded to %s, the server was told port %s", e.Remote, other)
	}
	if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
		t.Errorf("answered by %s", body)
	}
	untouched(t, m, port)
	closeReady(t, s)
}

// TestSecurityOtherFamily (I5): mallory has the same port on ::1. The forward
// goes to the address that was seen, not to "localhost".
func TestSecurityOtherFamily(t *testing.T) {
	begin(t)
	mallorysServer(t, "[::1]:7000").line("listens")
	s := serve(t, append([]string{"--port", "7000"}, onShared...))
	e := s.ready()
	if e.Remote != "127.0.0.1:7000" {
		t.Errorf("forwarded to %s", e.Remote)
	}
	for range 20 {
		if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
			t.Fatalf("answered by %s", body)
		}
	}
	closeReady(t, s)
}

// TestSecurityPortTakenOver (I5): alice's server closes its port and lives on;
// mallory, who was waiting for that, has it in the same moment. Not one byte
// goes to her.
func TestSecurityPortTakenOver(t *testing.T) {
	begin(t)
	s := serve(t, append([]string{"--port", "7000"}, onShared...))
	e := s.ready()
	m := mallorysServer(t, "-retry", "127.0.0.1:7000")
	if code, _ := get(t, e.URL+"close"); code != http.StatusOK {
		t.Fatalf("GET /close: %d", code)
	}
	m.line("listens")
	deadline := time.Now().Add(8 * time.Second)
	for i := 0; time.Now().Before(deadline) && i < 300; i++ {
		if _, body := get(t, e.URL+"secret"); strings.HasPrefix(body, "mallory") {
			t.Fatalf("request %d was answered by mallory", i)
		}
		select {
		case <-s.done:
			i = 300
		default:
		}
	}
	untouched(t, m, "7000")
	s.stop()
}

// stop ends a session whatever it has come to.
func (s *session) stop() {
	s.t.Helper()
	select {
	case <-s.done:
	default:
		s.signal(interrupt)
		_ = s.exit(patience)
	}
}

// TestSecurityWideBind (I4): a server that listens where others reach it is stopped,
// with the reason; --allow-wide-bind lets it be, with a warning. One that only this
// node reaches is neither, whatever family its socket is of.
func TestSecurityWideBind(t *testing.T) {
	own := strings.Fields(output(t, "alice", "daint", "getent", "hosts", "nid001001"))[0]
	for _, addr := range []string{"0.0.0.0", "[::]", own} {
		command := []string{"--nodelist", "nid001001", "--", lab.testserver, addr + ":{port}"}
		t.Run("stopped/"+addr, func(t *testing.T) {
			begin(t)
			s := cscs(t, append([]string{"run"}, command...)...)
			e := s.failure(5, "server-wide")
			says(t, e.Message, strings.Trim(addr, "[]"))
			says(t, e.Hint, "--allow-wide-bind")
			if _, ready := s.find("ready"); ready {
				t.Error("ready all the same")
			}
			if left := aliceJobs(t); left != "" {
				t.Errorf("left in the queue: %s", left)
			}
		})
		t.Run("allowed/"+addr, func(t *testing.T) {
			begin(t)
			s := cscs(t, append([]string{"run", "--allow-wide-bind"}, command...)...)
			e := s.ready()
			if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
				t.Errorf("GET: %s", body)
			}
			w, _ := s.find("warning")
			says(t, w.Message, strings.Trim(addr, "[]"), "others can reach it")
			closeReady(t, s)
		})
	}
	for _, addr := range []string{"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"} {
		t.Run("loopback/"+addr, func(t *testing.T) {
			begin(t)
			s := cscs(t, "run", "--", lab.testserver, addr+":{port}")
			e := s.ready()
			if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
				t.Errorf("GET: %s", body)
			}
			closeReady(t, s)
			if w, warned := s.find("warning"); warned {
				t.Errorf("warned: %s", w.Message)
			}
		})
	}
	t.Run("second-socket", func(t *testing.T) {
		begin(t)
		s := serve(t, nil, "-also", "0.0.0.0:7001")
		s.ready()
		closeReady(t, s)
	})
}

// TestSecurityTokenIsNowhere (I6): from start to end every process's arguments
// on every host are watched, and while the session is ready mallory reads all
// that she can, on every host.
func TestSecurityTokenIsNowhere(t *testing.T) {
	begin(t)
	watch := watchArguments(t)
	link := xdgOpen(t)
	m := link.terminal(t, "run-jupyter", "--cluster", "daint", "--venv", lab.Env["LAB_VENV"], "-v")
	link.wait(t)                 // is of the waiting room
	m.expect("ready: localhost") // the address is shown before that, too
	m.expect(`http://127\.0\.0\.1:\d+/\w+/lab`)
	token := jupyterToken(t)

	url := link.again(t)
	out, err := try(t, "alice", "laptop", "curl", "-sS", "-L", "-c", "/dev/null", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code} %{url_effective}", url)
	if err != nil || !strings.HasPrefix(out, "200 ") || !strings.HasSuffix(out, "/lab") {
		t.Errorf("the link gave %q, %v", out, err)
	}
	for _, host := range lab.Hosts {
		if host == "ctl" {
			continue // nobody's home; its processes' arguments are watched
		}
		if out := greps(t, "mallory", host, token, "/home", "/tmp", "/var/tmp", "/run", "/dev/shm", "/var/log", "/proc"); len(out) > 0 {
			t.Errorf("mallory finds the token on %s in %q", host, out)
		}
	}
	// Alice's own: one file that the server reads it from, and what the server
	// writes for itself, readable by nobody else. No log and no record.
	if out := greps(t, "alice", "laptop", token, "/home/alice", "/tmp", "/run/user", "/dev/shm"); len(out) > 0 {
		t.Errorf("the token is on the laptop in %q", out)
	}
	own := greps(t, "alice", "daint", token, "/home/alice", "/tmp", "/run/user", "/dev/shm")
	if !slices.ContainsFunc(own, tokenFile.MatchString) {
		t.Errorf("alice does not find her own token on daint, only %q", own)
	}
	for _, path := range own {
		if strings.HasSuffix(path, ".log") || strings.HasSuffix(path, "/log") || strings.HasSuffix(path, "/events") {
			t.Errorf("the token is in daint:%s", path)
		}
	}
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if log := lastLog(t); strings.Contains(log, token) {
		t.Error("the token is in the server's log")
	}
	if log := lastLog(t); !strings.Contains(strings.ToLower(log), "jupyter") {
		t.Errorf("the server's log is not Jupyter's:\n%s", log)
	}
	seen := watch()
	for _, must := range []string{"laptop: .*run-jupyter", "nid.*: .*jupyter-?lab", "daint: .*sshd", "ela: .*sshd", "ctl: .*slurmctld"} {
		if re := regexp.MustCompile("^" + must); !slices.ContainsFunc(slices.Collect(maps.Keys(seen)), re.MatchString) {
			t.Errorf("no arguments like %q were seen: how would the token have been?", must)
		}
	}
	for line := range seen {
		if strings.Contains(line, token) {
			t.Errorf("the token was in the arguments of %s", line)
		}
	}
	for _, path := range greps(t, "alice", "daint", token, "/home/alice") {
		if strings.Contains(path, ".cscs") {
			t.Errorf("after the end the token is still in %s", path)
		}
	}
}

// tokenFile is where a session keeps the token, on the cluster.
var tokenFile = regexp.MustCompile(`^/home/alice/\.cscs/[^/]+/[^/]+/token$`)

// greps tells the files in which a user finds the word. The words are told through
// stdin, so that this search is not what it finds. That it searches at all is shown
// by a file in /tmp that everybody may read, with a word of its own: where /tmp is
// among the directories, it must be found.
func greps(t *testing.T, user, host, word string, dirs ...string) []string {
	t.Helper()
	const decoy, lure = "/tmp/e2e-decoy", "a-word-that-stands-nowhere-else"
	write(t, lab.Path(host, decoy), lure+"\n")
	defer func() { _ = os.Remove(lab.Path(host, decoy)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := as(ctx, user, host, append([]string{"timeout", "-k1", "100", "find"}, append(dirs, "-xdev", "-type", "f", "-readable", "!", "-path", "/proc/*/task/*",
		"!", "-path", "/proc/k*", "!", "-path", "/proc/sys*", "!", "-name", "*pagemap", "!", "-name", "mem",
		"-exec", "/bin/sh", "-c", `read -r w d; for f; do timeout 20 grep -aqF -f /dev/fd/3 "$f" 2>/dev/null <"$f" 3<<W
$w
$d
W
case $? in 0) echo "$f" ;; 124) echo "no end: $f" ;; esac
done`, "sh", "{}", "+")...)...)
	c.Stdin = strings.NewReader(strings.Repeat(word+" "+lure+"\n", 1000))
	out, err := c.Output()
	// find says 1 for what it may not look into, and that is much.
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Errorf("the search of %s on %s broke off: %v", user, host, err)
	}
	var found []string
	lured := !slices.Contains(dirs, "/tmp")
	for line := range strings.Lines(string(out)) {
		if path := strings.TrimSpace(line); path == decoy {
			lured = true
		} else {
			found = append(found, path)
		}
	}
	if !lured {
		t.Errorf("the search of %s on %s did not find what is there for all to read", user, host)
	}
	return found
}

// watchArguments records the command line of every process on every host
// until the function that it gives is called.
func watchArguments(t *testing.T) func() map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			eachProcess(func(p process) { seen[p.host+": "+p.cmdline] = true })
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	return func() map[string]bool {
		close(stop)
		<-done
		return seen
	}
}

// TestSecurityJSONHasNoSecret (I6): with --json the token is on no stream.
func TestSecurityJSONHasNoSecret(t *testing.T) {
	begin(t)
	s := cscs(t, "run-jupyter", "-v", "--venv", lab.Env["LAB_VENV"])
	s.ready()
	token := jupyterToken(t)
	closeReady(t, s)
	for name, out := range map[string]string{"stdout": s.stdout.String(), "stderr": s.stderr.String(), "log": lastLog(t)} {
		if out == "" && name != "stderr" { // with --json nothing has to be said there
			t.Errorf("%s is empty: this test shows nothing of it", name)
		}
		if strings.Contains(out, token) {
			t.Errorf("the token is on %s", name)
		}
	}
}

// TestSecurityThirtyKeys (I8): an agent full of keys, and servers that hang up
// at the second key: only the chosen one is offered.
func TestSecurityThirtyKeys(t *testing.T) {
	begin(t)
	sock := agent(t)
	for i := range 30 {
		file := fmt.Sprintf("/home/alice/agent/key%d", i)
		output(t, "alice", "laptop", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file)
		output(t, "alice", "laptop", "SSH_AUTH_SOCK="+sock, "ssh-add", "-q", file)
	}
	for _, host := range []string{"ela", "daint", "nid001001"} {
		strict(t, host)
	}
	s := cscs(t, "SSH_AUTH_SOCK="+sock, "run", "--nodelist", "nid001001", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	closeReady(t, s)
}

// agent starts an ssh-agent of alice's on the laptop.
func agent(t *testing.T) (sock string) {
	t.Helper()
	mkdir(t, laptopHome("agent"))
	startAgent(t)
	return agentSocket
}

// agentSocket is where alice's agent listens on the laptop.
const agentSocket = "/home/alice/agent/sock"

// startAgent starts it in the directory that agent makes.
func startAgent(t *testing.T) *background {
	t.Helper()
	b := start(t, as(context.Background(), "alice", "laptop", "ssh-agent", "-D", "-a", agentSocket))
	b.line("SSH_AUTH_SOCK")
	return b
}

// strict makes a host's sshd end a connection at its second key.
func strict(t *testing.T, host string) {
	t.Helper()
	file := lab.Path(host, "/etc/ssh/sshd_config")
	before := readFile(t, file)
	restart := func(config string) {
		write(t, file, config)
		tell(t, "stop-service", host, "sshd")
		tell(t, "start-service", host, "sshd")
	}
	t.Cleanup(func() { restart(before) })
	restart("MaxAuthTries 1\n" + before)
}
