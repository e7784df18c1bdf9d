//go:build lab

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// distances are the lines between laptop and ela on which the main job is done.
var distances = []time.Duration{0, 20 * time.Millisecond}

// TestMainJob: each of the four commands to ready, used, and back to nothing.
func TestMainJob(t *testing.T) {
	for _, d := range distances {
		for _, c := range []struct {
			name string
			do   func(*testing.T)
		}{
			{"run-jupyter", mainJupyter},
			{"run-tensorboard", mainTensorBoard},
			{"run", mainRun},
			{"tunnel", mainTunnel},
		} {
			t.Run(fmt.Sprintf("%s/rtt=%s", c.name, d), func(t *testing.T) {
				begin(t)
				rtt(t, d)
				c.do(t)
			})
		}
	}
}

func mainJupyter(t *testing.T) {
	s := cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"])
	url := s.ready().URL
	if code, body := get(t, url); code != http.StatusOK && code != http.StatusForbidden {
		t.Errorf("GET %s: %d %s", url, code, body)
	}
	closeReady(t, s)
}

func mainTensorBoard(t *testing.T) {
	writeRun(t, "runs", "loss")
	s := cscs(t, "run-tensorboard", "--venv", lab.Env["LAB_VENV"], "--logdir", "runs", "--protect=false")
	url := s.ready().URL
	if code, body := get(t, url); code != http.StatusOK || !strings.Contains(body, "TensorBoard") {
		t.Errorf("GET %s: %d %s", url, code, body)
	}
	closeReady(t, s)
}

func mainRun(t *testing.T) {
	s := cscs(t, "run", "--port", "6007", "--protect=false", "--", "python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1")
	e := s.ready()
	if e.Remote != "127.0.0.1:6007" {
		t.Errorf("the server is at %s", e.Remote)
	}
	if code, body := get(t, e.URL); code != http.StatusOK || !strings.Contains(body, "Directory listing") {
		t.Errorf("GET %s: %d %s", e.URL, code, body)
	}
	closeReady(t, s)
	order := []string{"connecting", "connected", "connecting", "connected", "granted", "started", "ready", "ending", "ended"}
	if got := names(s.events()); !isSubsequence(order, got) {
		t.Errorf("events %v lack, in this order, %v", got, order)
	}
}

func mainTunnel(t *testing.T) {
	job := occupy(t, "alice", "-w", "nid001001")
	inJob(t, "alice", job, lab.testserver, "127.0.0.1:6006").line("listens")
	before := jobsSoFar(t)
	s := cscs(t, "tunnel", "--node", "nid001001", "--port", "6006")
	url := s.ready().URL
	if code, body := get(t, url); code != http.StatusOK || !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s: %d %s", url, code, body)
	}
	s.signal(syscall.SIGINT)
	s.end(0)
	if state := jobState(t, job); state != "RUNNING" {
		t.Errorf("the tunnel's end left the job %q", state)
	}
	if now := jobsSoFar(t); now != before {
		t.Errorf("the tunnel allocated something")
	}
}

// closeReady ends a session that is ready as a user does, and sees that
// nothing of it is in the queue when it says so (I3).
func closeReady(t *testing.T, s *session) {
	t.Helper()
	g, _ := s.find("granted")
	s.signal(syscall.SIGINT)
	s.end(0)
	if state := jobState(t, g.Job); state != "" && state != "COMPLETING" {
		t.Errorf("cscs ended, and job %s is %s", g.Job, state)
	}
}

// writeRun makes a run for TensorBoard in alice's home on the cluster.
func writeRun(t *testing.T, dir, tag string) {
	t.Helper()
	t.Cleanup(func() { _, _ = try(t, "alice", "daint", "rm", "-rf", dir) })
	output(t, "alice", "daint", lab.Env["LAB_VENV"]+"/bin/write-run", dir, tag)
}

// TestMainTwoSessions: two at once, each with its own port, server and job;
// the end of one leaves the other alone.
func TestMainTwoSessions(t *testing.T) {
	begin(t)
	one := serve(t, nil, "-name", "one")
	two := serve(t, nil, "-name", "two")
	first, second := one.ready(), two.ready()
	if first.LocalPort == second.LocalPort || first.Session == second.Session {
		t.Errorf("the sessions share port %d or name %s", first.LocalPort, first.Session)
	}
	for name, url := range map[string]string{"one": first.URL, "two": second.URL} {
		if _, body := get(t, url); !strings.HasPrefix(body, name+" ") {
			t.Errorf("GET %s, want %s, got %s", url, name, body)
		}
	}
	closeReady(t, one)
	if _, body := get(t, second.URL); !strings.HasPrefix(body, "two ") {
		t.Errorf("after the end of the other: %s", body)
	}
	closeReady(t, two)
}

// TestMainDryRun tells the way and the orders, and does nothing.
func TestMainDryRun(t *testing.T) {
	begin(t)
	unallocated(t)
	cut(t)
	p := terminal(t, "run", "--dry-run", "--cluster", "daint", "-N2", "-t", "10", "--gpus", "4", "--", "python3", "-m", "http.server", "{port}")
	if code := p.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	says(t, plain(p.stdout.String()), "ela.cscs.ch", "daint.alps.cscs.ch", "salloc", "--no-shell", "http.server")
}
