//go:build lab

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// guarded fails the test unless a port answers alice's own programs and address line, and neither mallory's
// nor a page of another site or port. word is in what the server answers.
func guarded(t *testing.T, port int, word string) {
	t.Helper()
	url := fmt.Sprintf("http://localhost:%d/", port)
	for name, options := range map[string][]string{
		"curl":           nil,
		"a typed link":   navigation,
		"its own page":   {"-H", "Sec-Fetch-Site: same-origin", "-H", "Origin: " + strings.TrimSuffix(url, "/")},
		"under a number": {"--connect-to", "::127.0.0.1:"},
	} {
		if head, body := curl(t, "alice", url, options...); !strings.HasPrefix(head, "HTTP/1.1 200") || !strings.Contains(body, word) {
			t.Errorf("%s: %s\n%s", name, head, body)
		}
	}
	for name, got := range map[string][2]string{
		"mallory":              pair(curl(t, "mallory", url)),
		"mallory types":        pair(curl(t, "mallory", url, navigation...)),
		"another site's page":  pair(curl(t, "alice", url, "-H", "Sec-Fetch-Site: cross-site")),
		"another port's page":  pair(curl(t, "alice", url, "-H", "Sec-Fetch-Site: same-site")),
		"another port's form":  pair(curl(t, "alice", url, "-H", "Origin: http://127.0.0.1:9000", "-d", "x")),
		"a name that is bound": pair(curl(t, "alice", url, "-H", fmt.Sprintf("Host: evil.example:%d", port))),
	} {
		if !strings.HasPrefix(got[0], "HTTP/1.1 403") || strings.Contains(got[1], word) || !strings.Contains(got[1], "cscs") {
			t.Errorf("%s: %s\n%s", name, got[0], got[1])
		}
	}
	// Another protocol: the test server answers whatever it does not know as HTTP with an error.
	speak := func(user string) string {
		out, _ := try(t, user, "laptop", "bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d && printf '*1\r\n\r\n' >&3 && timeout 10 cat <&3`, port))
		return out
	}
	if out := speak("alice"); !strings.Contains(out, "400") {
		t.Errorf("alice's other protocol: %q", out)
	}
	if out := speak("mallory"); strings.Contains(out, "HTTP") {
		t.Errorf("mallory's other protocol: %q", out)
	}
}

// TestGuardedRun: a command that cscs does not know is for alice alone, however it is started.
func TestGuardedRun(t *testing.T) {
	begin(t)
	for _, command := range [][]string{
		{lab.testserver, "127.0.0.1:{port}"},
		{"sh", "-c", `exec env A=b "$0" 127.0.0.1:$PORT`, lab.testserver},
	} {
		s := cscs(t, append([]string{"run", "--"}, command...)...)
		e := s.ready()
		guarded(t, e.LocalPort, "alice /")
		if want := fmt.Sprintf("127.0.0.1:%d", e.LocalPort); e.Remote != want {
			t.Errorf("the server is at %s of the node, not at %s", e.Remote, want)
		}
		closeReady(t, s)
	}
}

// TestGuardedTunnel: so is what a tunnel leads to.
func TestGuardedTunnel(t *testing.T) {
	begin(t)
	job := running(t, "alice", []string{"-w", "nid001002"}, "127.0.0.1:6006")
	s := cscs(t, "tunnel", "--job", job, "--port", "6006")
	guarded(t, s.ready().LocalPort, "alice /")
	s.signal(syscall.SIGTERM)
	s.end(0)
}

// TestUnguarded: without the guard, each user's bytes are passed on as they are.
func TestUnguarded(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--protect=false"})
	url := fmt.Sprintf("http://localhost:%d/", s.ready().LocalPort)
	for name, got := range map[string][2]string{
		"mallory":             pair(curl(t, "mallory", url)),
		"another site's page": pair(curl(t, "alice", url, "-H", "Sec-Fetch-Site: cross-site")),
	} {
		if !strings.HasPrefix(got[0], "HTTP/1.1 200") {
			t.Errorf("%s: %s\n%s", name, got[0], got[1])
		}
	}
	closeReady(t, s)
}

// TestSamePort: the server has the local port's number on its node where that is free on both sides, and
// else the next thing: its own address in what it sees.
func TestSamePort(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--port", "7210"})
	if e := s.ready(); e.LocalPort != 7210 {
		t.Errorf("the local port of a server on 7210 is %d", e.LocalPort)
	}
	s.signal(syscall.SIGINT)
	s.end(0)
	s = cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"])
	if e := s.ready(); e.LocalPort != 8888 || e.Remote != "127.0.0.1:8888" {
		t.Errorf("Jupyter is at %s, and here at %d", e.Remote, e.LocalPort)
	}
	closeReady(t, s)
	mallory := occupy(t, "mallory", "-p", "shared", "-w", "nid001001", "-n1", "-c1")
	inJob(t, "mallory", mallory, lab.testserver, "-name", "mallory", "127.0.0.1:7211").line("listens")
	s = serve(t, append([]string{"--local-port", "7211"}, onShared...))
	e := s.ready()
	if e.LocalPort != 7211 || e.Remote == "127.0.0.1:7211" {
		t.Errorf("beside mallory's, the server is at %s, and here at %d", e.Remote, e.LocalPort)
	}
	base := strings.TrimSuffix(e.URL, "/")
	if code, body := here.get(t, base+"/strict", "Origin: "+base); code != 200 {
		t.Errorf("a server that answers its own pages alone: %d %s", code, body)
	}
	says(t, run(t, "detach"), "detached")
	s.end(0)
	attachAtSamePort(t)
	serve(t, []string{"--detach"}).end(0) // it has no local port whose number the server could have
	attachAtSamePort(t)
}

// attachAtSamePort attaches to the only session, whose server's port is free here, and ends it.
func attachAtSamePort(t *testing.T) {
	t.Helper()
	s := pickUp(t)
	if e := s.ready(); !strings.HasSuffix(e.Remote, fmt.Sprintf(":%d", e.LocalPort)) {
		t.Errorf("attached, the server is at %s, and here at %d", e.Remote, e.LocalPort)
	}
	s.signal(syscall.SIGINT)
	s.end(0)
	run(t, "stop")
}

// TestJupyterFirstSteps: to see whether Jupyter works leaves no warning in its log, and the address without a
// path leads to its first page, of alice's browser alone.
func TestJupyterFirstSteps(t *testing.T) {
	begin(t)
	s := cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"])
	e := s.ready()
	log := readFile(t, clusterHome(sessionDir(t), "log"))
	if !strings.Contains(log, "ServerApp") || strings.Contains(log, " 403 ") || strings.Contains(log, " 404 ") {
		t.Errorf("Jupyter's log when it is ready:\n%s", log)
	}
	root := fmt.Sprintf("http://localhost:%d/", e.LocalPort)
	if head, _ := curl(t, "alice", root, navigation...); !strings.HasPrefix(head, "HTTP/1.1 302") || !strings.Contains(head+"\n", "Location: "+e.URL+"\n") {
		t.Errorf("alice types the address: %s", head)
	}
	if head, body := curl(t, "mallory", root, navigation...); !strings.HasPrefix(head, "HTTP/1.1 403") || strings.Contains(head+body, pathOf(t, e.URL)) {
		t.Errorf("mallory types it: %s\n%s", head, body)
	}
	if head, _ := curl(t, "alice", root); !strings.HasPrefix(head, "HTTP/1.1 404") || !strings.Contains(head, "Server: TornadoServer") {
		t.Errorf("a program's answer is not Jupyter's: %s", head)
	}
	closeReady(t, s)
}

// TestRunJupyterByHand: the link that a Jupyter prints which cscs has not set up lets the browser in; it is
// shown on the terminal.
func TestRunJupyterByHand(t *testing.T) {
	begin(t)
	m := terminal(t, "run", "--cluster", "daint", "--no-browser", "--venv", lab.Env["LAB_VENV"], "--", "jupyter", "lab", "--no-browser", "--ip", "127.0.0.1", "--port", "{port}")
	key := m.expect(`http://127\.0\.0\.1:\d+/\.cscs/[a-z2-7]{8}/in\?key=\w+`)[0]
	own := m.expect(`http://127\.0\.0\.1:\d+/lab\?token=\w{20,}`)[0]
	base := own[:strings.Index(own, "lab?")]
	head, _ := curl(t, "alice", key)
	says(t, head, "303", "Location: "+base+"lab", "Set-Cookie: username-localhost-")
	if strings.Contains(head, "token=") {
		t.Errorf("the token is in %s", head)
	}
	login := setCookie(head, "username-localhost-")
	for name, c := range map[string]struct {
		user, url string
		options   []string
		want      string
	}{
		"with its cookie": {"alice", base + "api/status", []string{"-H", "Cookie: " + login}, "200"},
		"with its link":   {"alice", own, nil, "200"},
		"without":         {"alice", base + "api/status", nil, "403"},
		"mallory":         {"mallory", own, nil, "403"},
	} {
		if head, body := curl(t, c.user, c.url, c.options...); !strings.HasPrefix(head, "HTTP/1.1 "+c.want) {
			t.Errorf("%s: %s\n%s", name, head, body)
		}
	}
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}
