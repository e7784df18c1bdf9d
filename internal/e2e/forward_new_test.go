//go:build lab

package e2e

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// also has the test server open another server on the node, and end one.
func also(t *testing.T, server event, verb, addr string, more ...string) {
	t.Helper()
	path := verb + "?addr=" + url.QueryEscape(addr)
	for _, m := range more {
		path += "&" + m
	}
	if code, body := get(t, server.URL+path); code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, code, body)
	}
}

// locally tells whether alice listens on a port of the laptop.
func locally(port int) bool {
	for _, l := range listeners("laptop") {
		if int(l.Addr.Port()) == port {
			return true
		}
	}
	return false
}

// TestForwardNew: while the session is ready, alice's other web servers on the node
// appear at local ports and vanish with them. What is not a web server does not, nor what
// is mallory's, be it that she takes a port over.
func TestForwardNew(t *testing.T) {
	begin(t)
	s := serve(t, append([]string{"--forward-new"}, onShared...))
	server := s.ready()
	mallory := occupy(t, "mallory", "-p", "shared", "-w", "nid001001", "-n1", "-c1")
	inJob(t, "mallory", mallory, lab.testserver, "-name", "mallory", "127.0.0.1:7100").line("listens")
	also(t, server, "listen", "127.0.0.1:7101", "zmq=1")
	also(t, server, "listen", "127.0.0.1:7102")

	e := s.wait("forward")
	if e.LocalPort != 7102 || e.Remote != "127.0.0.1:7102" || e.URL != "http://127.0.0.1:7102/" {
		t.Errorf("told %+v", e)
	}
	if _, body := get(t, e.URL); body != "alice at 127.0.0.1:7102\n" {
		t.Errorf("GET: %s", body)
	}

	// The local port that is taken is passed over; a wide one is warned of.
	holder(t, "7103")
	also(t, server, "listen", "0.0.0.0:7103")
	wide := s.wait("forward")
	if wide.LocalPort != 7104 || wide.Remote != "127.0.0.1:7103" {
		t.Errorf("told %+v", wide)
	}
	if _, body := get(t, wide.URL); body != "alice at 0.0.0.0:7103\n" {
		t.Errorf("GET: %s", body)
	}
	says(t, s.wait("warning").Message, "7103", "0.0.0.0")
	for _, l := range listeners("laptop") {
		if ip := l.Addr.Addr().String(); l.Addr.Port() == 7104 && ip != "127.0.0.1" && ip != "::1" {
			t.Errorf("the local port is open at %s", l.Addr)
		}
	}

	// Mallory waits for alice's server to go, and has its port in the same moment.
	m := inJob(t, "mallory", mallory, lab.testserver, "-name", "mallory", "-retry", "127.0.0.1:7102")
	also(t, server, "unlisten", "127.0.0.1:7102")
	m.line("listens")
	for n := 0; locally(7102); n++ {
		if _, body := get(t, e.URL+"secret"); strings.Contains(body, "mallory") {
			t.Fatalf("request %d was answered by mallory", n)
		}
	}

	// And it comes back: at another port, since this one is mallory's now.
	also(t, server, "listen", "127.0.0.1:7105")
	if e := s.wait("forward"); e.Remote != "127.0.0.1:7105" {
		t.Errorf("told %+v", e)
	}
	closeReady(t, s)
	told := 0
	for _, e := range s.events() {
		if e.Event == "forward" {
			told++
		}
	}
	if told != 3 {
		t.Errorf("%d forwards were told, not 3:\n%s", told, s.stdout)
	}
	if locally(7104) || locally(7105) {
		t.Error("a local port is left")
	}
}

// TestForwardNewAfterLoss: further ports go on over the next connection, and new ones come.
func TestForwardNewAfterLoss(t *testing.T) {
	begin(t)
	s := serve(t, []string{"--forward-new"})
	server := s.ready()
	also(t, server, "listen", "127.0.0.1:7102")
	e := s.wait("forward")
	killed := 0
	eachProcess(func(p process) {
		if p.host == "ela" && strings.HasPrefix(p.cmdline, "sshd") && strings.Contains(p.cmdline, "alice") && syscall.Kill(p.pid, syscall.SIGKILL) == nil {
			killed++
		}
	})
	if killed == 0 {
		t.Fatal("alice has no connection to ela")
	}
	s.wait("lost")
	s.wait("restored")
	if _, body := get(t, e.URL); body != "alice at 127.0.0.1:7102\n" {
		t.Errorf("GET: %s", body)
	}
	also(t, server, "listen", "127.0.0.1:7103")
	if e := s.wait("forward"); e.LocalPort != 7103 {
		t.Errorf("told %+v", e)
	}
	closeReady(t, s)
}

// TestForwardNewJupyter: a kernel's own ports are told to nobody; the web server that a
// notebook starts is.
func TestForwardNewJupyter(t *testing.T) {
	begin(t)
	s := cscs(t, "run-jupyter", "--forward-new", "--venv", lab.Env["LAB_VENV"])
	e := s.ready()
	token := jupyterToken(t)
	startKernel(t, serverURL(e), token)
	node, _ := s.find("granted")
	// The kernel's five ports are there when it is.
	if left := poll(patience, func() string {
		n := 0
		for _, l := range listeners(node.Node) {
			if l.UID == labctl.AliceUID {
				n++
			}
		}
		if n < 6 {
			return strconv.Itoa(n)
		}
		return ""
	}); left != "" {
		t.Fatalf("alice listens on %s ports only", left)
	}
	inJob(t, "alice", node.Job, lab.testserver, "127.0.0.1:7106").line("listens")
	if e := s.wait("forward"); e.LocalPort != 7106 {
		t.Errorf("told %+v", e)
	}
	closeReady(t, s)
	for _, e := range s.events() {
		if e.Event == "forward" && e.LocalPort != 7106 {
			t.Errorf("told %+v", e)
		}
	}
}

// startKernel asks Jupyter for one.
func startKernel(t *testing.T, base, token string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/kernels", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+token)
	req.Close = true
	resp, err := onLaptop.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST /api/kernels: %s", resp.Status)
	}
}
