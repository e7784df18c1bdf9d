package slurm

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// writeWheel writes a wheel (PEP 427) of a package with one program, which serves HTTP, and returns its directory.
func writeWheel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "tinyserve-1.0-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(file)
	for _, f := range [][2]string{
		{"tinyserve.py", "import http.server, sys\ndef main():\n    http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')\n"},
		{"tinyserve-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyserve\nVersion: 1.0\n"},
		{"tinyserve-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"tinyserve-1.0.dist-info/entry_points.txt", "[console_scripts]\ntinyserve = tinyserve:main\n"},
		{"tinyserve-1.0.dist-info/RECORD", "tinyserve.py,,\ntinyserve-1.0.dist-info/METADATA,,\ntinyserve-1.0.dist-info/WHEEL,,\ntinyserve-1.0.dist-info/entry_points.txt,,\ntinyserve-1.0.dist-info/RECORD,,\n"},
	} {
		part, err := w.Create(f[0])
		if err == nil {
			_, err = part.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installing is for how long a session may make an environment. Only a test that hangs reaches it.
const installing = 6 * time.Minute

// A wheelServer hands out wheels over HTTP, once it is open: pip waits for it until then.
type wheelServer struct {
	*httptest.Server
	asked chan struct{} // receives for each list of the wheels that pip asks for
	gate  chan struct{}
}

func serveWheels(t *testing.T) *wheelServer {
	t.Helper()
	w := &wheelServer{asked: make(chan struct{}, 100), gate: make(chan struct{})}
	files := http.FileServer(http.Dir(writeWheel(t)))
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/" {
			w.asked <- struct{}{}
			select {
			case <-w.gate:
			case <-req.Context().Done():
			}
		}
		files.ServeHTTP(rw, req)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *wheelServer) awaitAsked(t *testing.T) {
	t.Helper()
	waittest.Receive(t, installing, "pip asks for the wheels", w.asked)
}

// tinyserve is a launch of the program of that wheel.
func tinyserve(bootstrap bool, venv string) Launch {
	return Launch{Argv: []string{"tinyserve", "{port}"}, Package: "tinyserve", Program: "tinyserve", Bootstrap: bootstrap, Venv: venv, Grace: time.Second}
}

// bootstrapCluster returns a cluster whose pip gets wheels from that directory or URL, and has a user's
// configuration that is in the way.
func bootstrapCluster(t *testing.T, wheels string, env ...string) *slurmtest.Cluster {
	t.Helper()
	f := slurmtest.New(t, append([]string{"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + wheels, "PYTHONPATH=/nosuch"}, env...)...)
	conf := filepath.Join(f.Home, ".config", "pip")
	if err := errors.Join(os.MkdirAll(conf, 0o700), os.WriteFile(filepath.Join(conf, "pip.conf"), []byte("[install]\nuser = true\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return f
}

// A played session is one that waits for its server.
type played struct {
	*run
	id, step string
	notes    string
}

func play(t *testing.T, f *slurmtest.Cluster, l Launch) *played {
	t.Helper()
	id := strings.ToLower(rand.Text()[:8])
	return &played{run: submit(t.Context(), t, f, &Submission{ID: id, Launch: l}), id: id}
}

// until reads events up to one for which done returns true.
func (p *played) until(done func(Event) bool) {
	p.t.Helper()
	deadline := time.NewTimer(installing)
	defer deadline.Stop()
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				<-p.done
				p.t.Fatalf("it ended before that: %v, %v; notes %s", p.outcome.Err(), p.err, p.notes)
			}
			switch e := e.(type) {
			case Alive:
				p.step = e.Job + "." + e.Step
			case Note:
				p.notes += e.Message + "\n"
			}
			if done(e) {
				return
			}
		case <-deadline.C:
			p.t.Fatalf("it did not come so far; notes %s", p.notes)
		}
	}
}

// untilServed waits until the server answers.
func (p *played) untilServed() {
	p.t.Helper()
	p.until(func(e Event) bool {
		l, ok := e.(Listening)
		if !ok {
			return false
		}
		res, err := http.Get("http://" + l.Addr + "/")
		if err != nil {
			p.t.Fatal(err)
		}
		res.Body.Close()
		return true
	})
}

// stop ends the session and returns its log.
func (p *played) stop(f *slurmtest.Cluster) string {
	p.t.Helper()
	p.letGo()
	p.wait()
	var log bytes.Buffer
	if _, err := Stop(p.t.Context(), f, Stopping{ID: p.id, Step: p.step, Grace: time.Second, Log: &log}); err != nil {
		p.t.Fatal(err)
	}
	return log.String()
}

// playServed runs a session until its server answers, and returns the notes that it reported.
func playServed(t *testing.T, f *slurmtest.Cluster, l Launch) (notes string) {
	t.Helper()
	p := play(t, f, l)
	p.untilServed()
	if log := p.stop(f); l.Bootstrap && strings.Contains(p.notes, "pip installs") && !strings.Contains(log, "Successfully installed") {
		t.Errorf("the output of pip is not in the log: %s", log)
	}
	return p.notes
}

// playFailed runs a session that ends before it listens, and returns why.
func playFailed(t *testing.T, f *slurmtest.Cluster, l Launch) string {
	t.Helper()
	p := play(t, f, l)
	waittest.Receive(t, installing, "the end of the session", p.done)
	var bad *ServerError
	if err := p.outcome.Err(); !errors.As(err, &bad) || bad.Reason != "setup" {
		t.Fatalf("outcome %v, %v", err, p.err)
	}
	return bad.Message
}

// onNodes are the places in which a server starts.
var onNodes = map[string]Launch{"node": {}, "uenv": {Step: []string{"--uenv=x"}}, "container": {Environment: "~/my.toml"}}

// in returns the launch in the place of that name.
func (l Launch) in(place string) Launch {
	l.Step, l.Environment = onNodes[place].Step, onNodes[place].Environment
	return l
}

func writeEDF(t *testing.T, f *slurmtest.Cluster) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.Home, "my.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A program that is not there is installed once, by real pip, and later sessions find it without the flag. Under a
// uenv and in a container, the environment sees the packages that these have.
func TestBootstrap(t *testing.T) {
	for place := range onNodes {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			f := bootstrapCluster(t, writeWheel(t))
			writeEDF(t, f)
			if notes := playServed(t, f, tinyserve(true, "").in(place)); !strings.Contains(notes, "pip installs tinyserve") || !strings.Contains(notes, "is installed in "+f.Home) || !strings.Contains(notes, "pip has all 1 packages") {
				t.Errorf("notes: %s", notes)
			}
			made, _ := filepath.Glob(filepath.Join(f.Home, ".cscs-venvs", "*"))
			if len(made) != 1 {
				t.Fatalf("in the home: %v", made)
			}
			config, err := os.ReadFile(filepath.Join(made[0], "pyvenv.cfg"))
			if sees := strings.Contains(string(config), "include-system-site-packages = true"); err != nil || sees != (place != "node") {
				t.Errorf("pyvenv.cfg: %s, %v", config, err)
			}
			if notes := playServed(t, f, tinyserve(false, "").in(place)); strings.Contains(notes, "install") {
				t.Errorf("the second session installs again: %s", notes)
			}
			if place == "container" {
				return
			}
			// The Python of a module or uenv goes away.
			if err := errors.Join(os.Remove(filepath.Join(made[0], "bin", "python")), os.Symlink("/nosuch", filepath.Join(made[0], "bin", "python"))); err != nil {
				t.Fatal(err)
			}
			if says := playFailed(t, f, tinyserve(false, "").in(place)); !strings.Contains(says, "tinyserve was not found") {
				t.Errorf("it says %q", says)
			}
			if notes := playServed(t, f, tinyserve(true, "").in(place)); !strings.Contains(notes, "is installed in ") {
				t.Errorf("an environment without Python was taken for a whole one: %s", notes)
			}
		})
	}
}

// A session that ends while pip works leaves no process, and nothing that a later session takes for an environment.
func TestBootstrapInterrupted(t *testing.T) {
	for _, c := range []struct{ place, venv string }{{"node", "~/v"}, {"uenv", ""}} {
		place, venv := c.place, c.venv
		t.Run(place+venv, func(t *testing.T) {
			t.Parallel()
			wheels := serveWheels(t)
			tmp := t.TempDir()
			f := bootstrapCluster(t, wheels.URL, "TMPDIR="+tmp)
			p := play(t, f, tinyserve(true, venv).in(place))
			p.until(func(e Event) bool { n, ok := e.(Note); return ok && strings.Contains(n.Message, "pip installs") })
			wheels.awaitAsked(t)
			p.stop(f)
			if len(f.Jobs()) > 0 {
				t.Errorf("the jobs %v are left", f.Jobs())
			}
			// On a loaded machine the job has left the queue before its processes are killed.
			waittest.Until(t, time.Minute, "the end of pip", func() bool { return f.Running("pip") == 0 })
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("pip leaves temporary files on the node: %v, %v", left, err)
			}
			want := "tinyserve was not found"
			if venv != "" {
				want = "/v is not complete"
			}
			if says := playFailed(t, f, tinyserve(false, venv).in(place)); !strings.Contains(says, want) {
				t.Errorf("it says %q", says)
			}
			close(wheels.gate)
			if notes := playServed(t, f, tinyserve(true, venv).in(place)); !strings.Contains(notes, "is installed in ") {
				t.Errorf("an incomplete environment was taken for a whole one: %s", notes)
			}
			playServed(t, f, tinyserve(false, venv).in(place))
		})
	}
}

// Of two sessions at once one installs, and the other waits for it.
func TestBootstrapTogether(t *testing.T) {
	t.Parallel()
	wheels := serveWheels(t)
	f := bootstrapCluster(t, wheels.URL)
	first := play(t, f, tinyserve(true, ""))
	wheels.awaitAsked(t)
	second := play(t, f, tinyserve(true, ""))
	second.until(func(e Event) bool {
		n, ok := e.(Note)
		return ok && strings.Contains(n.Message, "another session installs")
	})
	close(wheels.gate)
	first.untilServed()
	second.untilServed()
	first.stop(f)
	second.stop(f)
	if len(wheels.asked) > 0 || strings.Contains(second.notes, "pip installs") {
		t.Errorf("both sessions install: %s", second.notes)
	}
}

// One waits for another that fails, and tries it itself.
func TestBootstrapAfterAnother(t *testing.T) {
	t.Parallel()
	wheels := serveWheels(t)
	f := bootstrapCluster(t, wheels.URL)
	first := play(t, f, tinyserve(true, ""))
	wheels.awaitAsked(t)
	second := play(t, f, tinyserve(true, ""))
	second.until(func(e Event) bool {
		n, ok := e.(Note)
		return ok && strings.Contains(n.Message, "another session installs")
	})
	close(wheels.gate)
	// The first has the lock until its processes are gone.
	first.stop(f)
	second.untilServed()
	second.stop(f)
}

// On a file system without locks, the file beside the environment is the lock.
func TestBootstrapWithoutLocks(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\ncase $* in *LOCK_EX*) exit 1 ;; esac\nexec " + python + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	wheels := serveWheels(t)
	f := bootstrapCluster(t, wheels.URL)
	if err := os.WriteFile(filepath.Join(f.Home, ".bash_profile"), []byte("PATH="+bin+":$PATH\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := play(t, f, tinyserve(true, "~/v"))
	wheels.awaitAsked(t)
	if says := playFailed(t, f, tinyserve(true, "~/v")); !strings.Contains(says, f.Home+"/v.incomplete") {
		t.Errorf("it says %q", says)
	}
	close(wheels.gate)
	first.untilServed()
	first.stop(f)
	playServed(t, f, tinyserve(false, "~/v"))
}

// The directory is the user's to name: a new one, or an environment that is there.
func TestBootstrapVenv(t *testing.T) {
	t.Parallel()
	f := bootstrapCluster(t, writeWheel(t))
	playServed(t, f, tinyserve(true, "$HOME/v/w/"))
	dir := filepath.Join(f.Home, "v", "w")
	mine := filepath.Join(dir, "mine")
	if err := errors.Join(os.WriteFile(mine, nil, 0o600), os.Remove(filepath.Join(dir, "bin", "tinyserve"))); err != nil {
		t.Fatal(err)
	}
	// An environment without the program gets it.
	out, err := exec.Command(filepath.Join(dir, "bin", "python"), "-m", "pip", "uninstall", "-y", "tinyserve").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if notes := playServed(t, f, tinyserve(true, "$HOME/v/w")); !strings.Contains(notes, "is installed in "+dir) {
		t.Errorf("notes: %s", notes)
	}
	// Without pip in it, it cannot be completed, and stays the user's.
	if err := errors.Join(os.Remove(filepath.Join(dir, "bin", "tinyserve")), os.RemoveAll(filepath.Join(dir, "lib"))); err != nil {
		t.Fatal(err)
	}
	if says := playFailed(t, f, tinyserve(true, "$HOME/v/w")); !strings.Contains(says, "No module named pip") {
		t.Errorf("it says %q", says)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error("an environment of the user's was removed")
	}
}

// What pip says last, and its command, are what the user reads. Nothing is left but what was there.
func TestBootstrapFails(t *testing.T) {
	for name, c := range map[string]struct{ dir, says string }{
		"no package":        {"", "No matching distribution found for tinyserve (command: "},
		"other directory":   {"$HOME/files", "is not a virtual environment on "},
		"not to be written": {"/proc/v", "cannot write in /proc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := bootstrapCluster(t, t.TempDir())
			if err := os.MkdirAll(filepath.Join(f.Home, "files", "x"), 0o700); err != nil {
				t.Fatal(err)
			}
			if says := playFailed(t, f, tinyserve(true, c.dir)); !strings.Contains(says, c.says) {
				t.Errorf("it says %q", says)
			}
			if left, _ := filepath.Glob(filepath.Join(f.Home, "files*")); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(f.Home, ".cscs-venvs", "*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if _, err := os.Stat(filepath.Join(f.Home, "files", "x")); err != nil {
				t.Error("a directory of the user's was removed")
			}
		})
	}
}

// What --dry-run shows.
func TestBootstrapLine(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]Launch{
		"": tinyserve(false, "~/v"),
		"python3 -m venv {venv} && {venv}/bin/python -I -m pip install tinyserve":                                      tinyserve(true, ""),
		`python3 -m venv --system-site-packages ~/"${USER}"/v && ~/"${USER}"/v/bin/python -I -m pip install tinyserve`: tinyserve(true, "~/$USER/v/").in("uenv"),
	} {
		if line := l.BootstrapLine(); line != want {
			t.Errorf("%s, want %s", line, want)
		}
	}
}
