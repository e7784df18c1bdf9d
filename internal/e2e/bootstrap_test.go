//go:build lab

package e2e

import (
	"context"
	_ "embed" // for packWheels
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// packWheels makes wheels of the lab's own virtual environment.
//
//go:embed pack-wheels.py
var packWheels string

// installing is for how long pip may install JupyterLab in the lab.
const installing = 8 * time.Minute

// giveWheels has alice's pip get real wheels, JupyterLab's and those of all that it needs, from a directory.
func giveWheels(t *testing.T) {
	t.Helper()
	mkdir(t, clusterHome("wheels"))
	put(t, clusterHome("pack-wheels.py"), packWheels, 0o644)
	ctx, cancel := context.WithTimeout(context.Background(), installing)
	defer cancel()
	pack := lab.Command(ctx, "as", "alice", "daint", lab.Env["LAB_VENV"]+"/bin/python", "pack-wheels.py", "wheels", "jupyterlab")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mkdir(t, clusterHome(".config"))
	mkdir(t, clusterHome(".config/pip"))
	put(t, clusterHome(".config/pip/pip.conf"), "[global]\nno-index = true\nfind-links = /home/alice/wheels\nno-cache-dir = true\n", 0o644)
	t.Cleanup(func() { _ = os.RemoveAll(clusterHome(".cscs-venvs")) })
}

// warned waits until the session warns with these words.
func (s *session) warned(limit time.Duration, words string) event {
	s.t.Helper()
	for {
		e, ok := s.await(limit, "warning", "ready", "error")
		if !ok || e.Event != "warning" {
			s.t.Fatalf("no warning says %q\nstdout: %s\nstderr: %s", words, s.stdout, s.stderr)
		}
		if strings.Contains(e.Message, words) {
			return e
		}
	}
}

// usable waits until JupyterLab is ready, and asks it with its token.
func (s *session) usable() {
	s.t.Helper()
	e, ok := s.await(installing, "ready", "error")
	if !ok || e.Event != "ready" {
		s.t.Fatalf("it is not ready\nstdout: %s\nstderr: %s", s.stdout, s.stderr)
	}
	if code, _ := get(s.t, e.URL); code != http.StatusOK && code != http.StatusFound && code != http.StatusForbidden {
		s.t.Errorf("JupyterLab answers %d", code)
	}
}

// made returns the virtual environments that --bootstrap has made, and the files that mark those that are not complete.
func made(t *testing.T) (venvs, incomplete []string) {
	t.Helper()
	found, err := filepath.Glob(clusterHome(".cscs-venvs/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		switch {
		case strings.HasSuffix(path, ".incomplete"):
			incomplete = append(incomplete, path)
		case !strings.HasSuffix(path, ".incomplete.tmp"): // of a pip that was killed
			venvs = append(venvs, path)
		}
	}
	return venvs, incomplete
}

// TestBootstrap: on nodes without JupyterLab, real pip installs it once. Ctrl-C while it does leaves no job and no
// process (begin), and nothing that a later session uses. Of two sessions on two nodes at once, one installs.
func TestBootstrap(t *testing.T) {
	begin(t)
	giveWheels(t)
	s := cscs(t, "run-jupyter", "--bootstrap")
	s.warned(patience, "pip installs jupyterlab")
	s.leaveBy(syscall.SIGINT, 130)
	settle(t)
	if _, incomplete := made(t); len(incomplete) != 1 {
		t.Errorf("the interrupted session has marked %q", incomplete)
	}

	e := cscs(t, "run-jupyter").failure(5, "server-setup")
	says(t, e.Message, "jupyter was not found on")
	says(t, e.Hint, "--bootstrap")
	settle(t)

	first := cscs(t, "run-jupyter", "--bootstrap", "--nodelist", "nid001001")
	first.warned(patience, "pip installs jupyterlab")
	second := cscs(t, "run-jupyter", "--bootstrap", "--nodelist", "nid001002")
	second.warned(patience, "another session installs")
	first.warned(installing, "is installed in")
	first.usable()
	second.usable()
	for _, s := range []*session{first, second} {
		s.leaveBy(syscall.SIGINT, 0)
	}
	settle(t)

	s = cscs(t, "run-jupyter")
	s.usable()
	closeReady(t, s)
	if venvs, incomplete := made(t); len(venvs) != 1 || len(incomplete) != 0 {
		t.Errorf("there are %q, and %q", venvs, incomplete)
	}
	if left, _ := filepath.Glob(clusterHome(".cscs-venvs/*.tmp")); len(left) != 0 {
		t.Errorf("of pip there is %q", left)
	}
}

// TestBootstrapUenv: in the step of a uenv, the uenv's Python makes an environment that sees the uenv's packages.
func TestBootstrapUenv(t *testing.T) {
	begin(t)
	giveWheels(t)
	flags := []string{"run-jupyter", "--uenv", "prgenv-gnu/24.11:v1", "--view", "default"}
	s := cscs(t, append(flags, "--bootstrap")...)
	s.usable()
	closeReady(t, s)
	settle(t)
	venvs, _ := made(t)
	if len(venvs) != 1 {
		t.Fatalf("there are %q", venvs)
	}
	says(t, readFile(t, filepath.Join(venvs[0], "pyvenv.cfg")), "include-system-site-packages = true")
	s = cscs(t, flags...)
	s.usable()
	closeReady(t, s)
}

// TestBootstrapNoRoom: pip fills a file system, or may not write. The error says so, nothing is left, and the job ends.
func TestBootstrapNoRoom(t *testing.T) {
	begin(t)
	giveWheels(t)
	output(t, "root", "nid001001", "sh", "-c", "mkdir /small && mount -t tmpfs -o size=40m,mode=1777 tmpfs /small")
	t.Cleanup(func() { output(t, "root", "nid001001", "sh", "-c", "umount /small && rmdir /small") })
	flags := []string{"run-jupyter", "--bootstrap", "--nodelist", "nid001001", "--venv"}
	s := cscs(t, append(flags, "/small/v")...)
	if _, ok := s.await(installing, "error"); !ok {
		t.Fatal("it does not end")
	}
	e := s.failure(5, "server-setup")
	says(t, e.Message, "No space left on device")
	says(t, e.Hint, "--venv")
	if left := output(t, "root", "nid001001", "ls", "-A", "/small"); left != "" {
		t.Errorf("left: %s", left)
	}
	settle(t)

	e = cscs(t, append(flags, "/opt/v")...).failure(5, "server-setup")
	says(t, e.Message, "cannot write in /opt on nid001001")
	settle(t)

	// The nodes have the same home, so no node is asked for.
	mkdir(t, clusterHome("locked"))
	if err := os.Chmod(clusterHome("locked"), 0o555); err != nil {
		t.Fatal(err)
	}
	s = cscs(t, append(flags, "locked/v")...)
	says(t, s.failure(5, "server-setup").Message, "cannot write in ")
	if _, granted := s.find("granted"); granted {
		t.Error("a node was asked for")
	}
}
