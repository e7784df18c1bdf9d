//go:build lab

package e2e

import (
	"context"
	"fmt"
	"net/http"
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
	return inJob(t, "mallory", job, append([]string{lab.testserver, "-name", "mallory"}, flags...)...)
}

// TestSecurityPortTaken (I5): mallory has the port already. Alice's server
// cannot listen; what listens is not taken for it.
func TestSecurityPortTaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		server []string
	}{
		{"server-fails", []string{lab.testserver, "127.0.0.1:{port}"}},
		{"server-is-silent", []string{"sleep", "600"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			mallorysServer(t, "127.0.0.1:7000").line("listens")
			words := append([]string{"run"}, onShared...)
			words = append(words, "--start-timeout", "4s", "--port", "7000", "--")
			s := cscs(t, append(words, c.server...)...)
			e := s.failure(5)
			says(t, e.Message+" "+e.Hint, "7000")
			if _, ready := s.find("ready"); ready {
				t.Error("ready, with mallory's server at the other end")
			}
		})
	}
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
	if out := m.stdout.String(); strings.Contains(out, "secret") {
		t.Errorf("mallory saw: %s", out)
	}
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

// TestSecurityWideBind (I4): a server that listens for everybody is stopped,
// with the reason; --allow-wide-bind lets it be, with a warning.
func TestSecurityWideBind(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:{port}", "[::]:{port}"} {
		t.Run("stopped/"+addr, func(t *testing.T) {
			begin(t)
			s := cscs(t, "run", "--", lab.testserver, addr)
			e := s.failure(5)
			says(t, e.Message+" "+e.Hint, "--allow-wide-bind")
			if left := aliceJobs(t); left != "" {
				t.Errorf("left in the queue: %s", left)
			}
		})
		t.Run("allowed/"+addr, func(t *testing.T) {
			begin(t)
			s := cscs(t, "run", "--allow-wide-bind", "--", lab.testserver, addr)
			e := s.ready()
			if _, body := get(t, e.URL); !strings.HasPrefix(body, "alice") {
				t.Errorf("GET: %s", body)
			}
			if _, warned := s.find("warning"); !warned {
				t.Error("no warning")
			}
			closeReady(t, s)
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
	url := link.wait(t)
	token := jupyterToken(t)

	out, err := try(t, "alice", "laptop", "curl", "-sS", "-L", "-c", "/dev/null", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", url)
	if err != nil || out != "200" {
		t.Errorf("the link gave %q, %v", out, err)
	}
	for _, host := range lab.Hosts {
		if host == "ctl" {
			continue
		}
		if out := greps(t, "mallory", host, token, "/home", "/tmp", "/var/tmp", "/run", "/dev/shm", "/var/log", "/proc"); out != "" {
			t.Errorf("mallory finds the token on %s in\n%s", host, out)
		}
	}
	// Alice's own: one file that the server reads it from, and what the server
	// writes for itself, readable by nobody else. No log and no record.
	for _, host := range []string{"laptop", "daint"} {
		for line := range strings.Lines(greps(t, "alice", host, token, "/home/alice", "/tmp", "/run/user", "/dev/shm")) {
			path := strings.TrimSpace(line)
			if strings.HasSuffix(path, ".log") || strings.Contains(path, "/state/") || host == "laptop" {
				t.Errorf("the token is in %s:%s", host, path)
			}
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
	if len(seen) < 20 {
		t.Fatalf("only %d command lines were seen", len(seen))
	}
	for line := range seen {
		if strings.Contains(line, token) {
			t.Errorf("the token was in the arguments of %s", line)
		}
	}
	if left := greps(t, "alice", "daint", token, "/home/alice"); strings.Contains(left, ".cscs") {
		t.Errorf("after the end the token is still in\n%s", left)
	}
}

// greps tells the files in which a user finds the word. The word is told
// through stdin, so that this search is not what it finds.
func greps(t *testing.T, user, host, word string, dirs ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := as(ctx, user, host, append([]string{"timeout", "-k1", "40", "find"}, append(dirs, "-xdev", "-type", "f", "-readable", "!", "-path", "/proc/*/task/*",
		"!", "-path", "/proc/k*", "!", "-path", "/proc/sys*", "!", "-name", "*pagemap", "!", "-name", "mem",
		"-exec", "/bin/sh", "-c", `read -r w; for f; do timeout 2 grep -aqF -f /dev/fd/3 "$f" 2>/dev/null <"$f" 3<<W && echo "$f"
$w
W
done`, "sh", "{}", "+")...)...)
	c.Stdin = strings.NewReader(strings.Repeat(word+"\n", 1000))
	out, _ := c.Output()
	return strings.TrimSpace(string(out))
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
	sock = "/home/alice/agent/sock"
	b := start(t, as(context.Background(), "alice", "laptop", "ssh-agent", "-D", "-a", sock))
	b.line("SSH_AUTH_SOCK")
	return sock
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
