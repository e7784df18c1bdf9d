//go:build unix && !lab

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A newcomer is somebody on a machine of their own, with nothing on it.
type newcomer struct {
	t   *testing.T
	dir string
	env []string
}

func newNewcomer(t *testing.T, env ...string) *newcomer {
	t.Helper()
	n := &newcomer{t: t, dir: t.TempDir()}
	for _, dir := range []string{"home", "run", "bin"} {
		if err := os.Mkdir(filepath.Join(n.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	n.env = append([]string{"HOME=" + filepath.Join(n.dir, "home"), "XDG_RUNTIME_DIR=" + filepath.Join(n.dir, "run"), "PATH=" + filepath.Join(n.dir, "bin"), "CSCS_SITE_CONFIG=" + os.DevNull}, env...)
	t.Cleanup(func() {
		for _, pid := range n.processes() {
			t.Errorf("process %d is left", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return n
}

// cscs runs the built cscs, with --json --no-browser.
func (n *newcomer) cscs(words ...string) *session {
	n.t.Helper()
	return n.start(stage.bin, append(words[:1:1], append([]string{"--json", "--no-browser"}, words[1:]...)...)...)
}

func (n *newcomer) start(program string, args ...string) *session {
	n.t.Helper()
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Env = n.env
	return &session{background: start(n.t, cmd)}
}

// run is cscs WORDS to its end.
func (n *newcomer) run(words ...string) string {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), stage.bin, words...)
	cmd.Env = n.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("cscs %q: %v\n%s", words, err, out)
	}
	return string(out)
}

// left is what there is of files, and of processes that know of the runtime directory: of
// the cluster, of keepers and of servers.
func (n *newcomer) left() string {
	var left []string
	_ = filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) != "bin" {
			left = append(left, path)
		}
		return nil
	})
	for _, pid := range n.processes() {
		left = append(left, "process "+strconv.Itoa(pid))
	}
	return strings.Join(left, "\n")
}

// processes are those with this newcomer's directories in their environment.
func (n *newcomer) processes() []int {
	var pids []int
	for _, p := range environments(n.t) {
		if strings.Contains(p.env, n.dir+"/run") {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// clusterProcess is the one that is the cluster.
func (n *newcomer) clusterProcess() int {
	n.t.Helper()
	for _, p := range environments(n.t) {
		if strings.HasSuffix(strings.TrimSpace(p.args), filepath.Join(n.dir, "run", "cscs", "demo")) {
			return p.pid
		}
	}
	n.t.Fatal("no process is the cluster")
	return 0
}

type environment struct {
	pid       int
	args, env string
}

// environments are those of this user's processes, from ps, which every Unix has.
func environments(t *testing.T) []environment {
	t.Helper()
	var all []environment
	own := false // "no process is left" means nothing if none can be read
	if runtime.GOOS == "linux" {
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, f := range files {
			env, _ := os.ReadFile(f)
			args, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			own = own || pid == os.Getpid() && len(env) > 0
			all = append(all, environment{pid, string(bytes.TrimRight(bytes.ReplaceAll(args, []byte{0}, []byte{' '}), " ")), string(env)})
		}
		if !own {
			t.Error("/proc shows no environment, not even that of this process")
		}
		return all
	}
	out, err := exec.CommandContext(t.Context(), "ps", "-axwwE", "-o", "pid=,command=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, _ := strconv.Atoi(pid)
		all = append(all, environment{number, rest, rest})
	}
	return all
}

// gone fails the test unless nothing is left within the time.
func (n *newcomer) gone(limit time.Duration) {
	n.t.Helper()
	if left := poll(limit, n.left); left != "" {
		n.t.Errorf("left behind:\n%s", left)
	}
}

// TestDemo: the first minute of somebody who has nothing but the program: no ssh, no Slurm, no
// Jupyter, no home worth the name.
func TestDemo(t *testing.T) {
	n := newNewcomer(t)
	began := time.Now()
	s := n.cscs("demo")
	e := s.ready()
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("ready after %v", d)
	}
	if code, body := here.get(t, e.URL); code != 200 || !strings.Contains(body, "This page comes from a compute node") {
		t.Errorf("GET %s: %d %s", e.URL, code, body)
	}
	code, body := here.get(t, e.URL+"steps")
	var told struct {
		Session string
		Steps   []struct{ Host, What string }
	}
	if err := json.Unmarshal([]byte(body), &told); err != nil || code != 200 {
		t.Fatalf("GET steps: %d %v %s", code, err, body)
	}
	var hosts []string
	for _, s := range told.Steps {
		hosts = append(hosts, s.Host)
	}
	if want := []string{"ela", "login", "slurm", "nid001001"}; !isSubsequence(want, hosts) || told.Session != e.Session {
		t.Errorf("the page tells of %v, of session %s", hosts, told.Session)
	}
	s.leaveBy(syscall.SIGINT, 0)
	if left := n.left(); left != "" { // at once: the command waits for it
		t.Errorf("left behind:\n%s", left)
	}
}

// TestDemoBusy: the queue of a demo that is told to be busy. Its waiting room has an address
// that cscs open and cscs ps tell.
func TestDemoBusy(t *testing.T) {
	n := newNewcomer(t)
	s := n.cscs("demo", "--queue", "8s")
	queued := s.wait("queued")
	says(t, queued.Reason, "waiting for nodes")
	address := strings.TrimSpace(n.run("open", "--no-browser", queued.Session))
	if code, body := here.get(t, address, "Accept: text/html", "Sec-Fetch-Mode: navigate"); code != 503 || !strings.Contains(body, "Waiting in the queue") {
		t.Errorf("GET %q while it is queued: %d %s", address, code, body)
	}
	says(t, n.run("ps"), "queued", address)
	says(t, n.run("logs", queued.Session), "session "+queued.Session+" is queued", "waiting for nodes")
	s.wait("granted")
	if e := s.ready(); e.URL != address {
		t.Errorf("it was to be at %s, and is at %s", address, e.URL)
	}
	s.leaveBy(syscall.SIGTERM, 0)
	n.gone(time.Second)
}

// TestDemoBootstrap: the demo installs nothing on the user's machine, and says so before it gives a node. The hint for a
// program that is missing proposes nothing that the demo refuses.
func TestDemoBootstrap(t *testing.T) {
	n := newNewcomer(t)
	s := n.cscs("run-jupyter", "--cluster", "demo", "--bootstrap", "--verbose")
	e := s.failure(5, "server-setup")
	says(t, e.Message, "--bootstrap", "the demo")
	says(t, e.Hint, "--venv DIR")
	if _, granted := s.find("granted"); granted {
		t.Error("a node was given")
	}
	n = newNewcomer(t, "PATH="+t.TempDir())
	e = n.cscs("run-jupyter", "--cluster", "demo", "--verbose").failure(5, "server-setup")
	says(t, e.Message, "jupyter was not found on nid", "of the demo")
	if strings.Contains(e.Hint, "--bootstrap") || !strings.Contains(e.Hint, "this machine") {
		t.Errorf("the hint is %q", e.Hint)
	}
}

// TestDemoAsksNobody: neither ssh nor the user's own keys and configuration have a part in it,
// whatever the environment says.
func TestDemoAsksNobody(t *testing.T) {
	n := newNewcomer(t, "CSCS_IDENTITY=/nonexistent", "CSCS_USER=somebody", "CSCS_CLUSTER=daint", "SSH_AUTH_SOCK=/nonexistent")
	// An ssh that is asked leaves a trace, and a file that is read makes a warning.
	asked := filepath.Join(n.dir, "asked")
	write(t, filepath.Join(n.dir, "bin", "ssh"), "#!/bin/sh\necho \"$@\" >>"+asked+"\nexit 1\n", 0o755)
	for round, home := range []string{"with ssh", "without"} {
		if round == 1 {
			_ = os.Remove(filepath.Join(n.dir, "bin", "ssh"))
		}
		_ = os.MkdirAll(filepath.Join(n.dir, "home", ".ssh"), 0o700)
		write(t, filepath.Join(n.dir, "home", ".ssh", "config"), "Host \"\nMatch nonsense\n", 0o600)
		s := n.cscs("demo", "-v")
		s.ready()
		s.leaveBy(syscall.SIGINT, 0)
		if w, ok := s.find("warning"); ok {
			t.Errorf("%s: a warning: %s", home, w.Message)
		}
	}
	if words, err := os.ReadFile(asked); err == nil {
		t.Errorf("ssh was asked: %s", words)
	}
	if entries, _ := os.ReadDir(filepath.Join(n.dir, "home", ".ssh")); len(entries) != 1 {
		t.Errorf("in ~/.ssh are %v", entries)
	}
}

// TestDemoServesOthers: a session that is left keeps its cluster alive, and other commands
// find it; the last of them takes it down.
func TestDemoServesOthers(t *testing.T) {
	n := newNewcomer(t)
	s := n.cscs("run", "--cluster", "demo", "--detach", "--", stage.testserver, "127.0.0.1:{port}")
	s.end(0)
	id := s.events()[0].Session
	says(t, n.run("ps", "--refresh", "--cluster", "demo"), id, "nid001001")
	a := n.cscs("attach", id)
	reaches(t, a.ready())
	says(t, n.run("logs", id), "testserver alice listens")
	a.leaveBy(syscall.SIGINT, 0)
	says(t, n.run("stop", id), id)
	if left := poll(5*time.Second, func() string {
		return strings.Join(slices.DeleteFunc(strings.Split(n.left(), "\n"), func(f string) bool { return filepath.Ext(f) == ".log" }), "\n")
	}); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// TestDemoKilledClient: what it leaves ends by itself, when its lease is over.
func TestDemoKilledClient(t *testing.T) {
	n := newNewcomer(t, "CSCS_LEASE_FLOOR=1s")
	s := n.cscs("run", "--cluster", "demo", "--lease", "2s", "--", stage.testserver, "127.0.0.1:{port}")
	s.ready()
	_ = s.cmd.Process.Kill()
	s.exit(patience)
	if left := poll(20*time.Second, func() string {
		if n.processes() != nil {
			return "processes"
		}
		return ""
	}); left != "" {
		t.Errorf("left behind: %s", n.left())
	}
	// The record of a session that nobody ended goes when somebody looks, for which no cluster
	// has to be made.
	says(t, n.run("ps"), "no live session")
	n.gone(5 * time.Second)
}

// TestDemoKilledCluster: the server does not outlive it, the session ends, and the next demo
// tidies.
func TestDemoKilledCluster(t *testing.T) {
	n := newNewcomer(t)
	s := n.cscs("demo")
	s.ready()
	started, _ := s.find("started")
	_ = syscall.Kill(n.clusterProcess(), syscall.SIGKILL)
	s.wait("lost")
	if left := poll(10*time.Second, func() string {
		if syscall.Kill(started.PID, 0) == nil {
			return "the server"
		}
		return ""
	}); left != "" {
		t.Errorf("%s lives on", left)
	}
	s.signal(syscall.SIGINT)
	s.signal(syscall.SIGINT)
	s.exit(patience)
	next := n.cscs("demo")
	next.ready()
	next.leaveBy(syscall.SIGINT, 0)
	n.gone(time.Second)
}

// TestDemoTogether: five at once are visitors of one cluster, where three of them wait.
func TestDemoTogether(t *testing.T) {
	n := newNewcomer(t)
	var all []*session
	for range 5 {
		all = append(all, n.cscs("demo"))
	}
	running := 0
	for _, s := range all {
		if e := s.wait("queued", "granted"); e.Event == "granted" {
			running++
		}
	}
	if running != 2 {
		t.Errorf("%d have a node, of two", running)
	}
	for _, s := range all {
		s.signal(syscall.SIGINT)
	}
	for _, s := range all {
		s.exit(patience)
	}
	n.gone(5 * time.Second)
}

// TestDemoDoctor finds nothing wrong with the way there.
func TestDemoDoctor(t *testing.T) {
	here.begin(t)
	s := serve(t, nil)
	s.ready()
	out, err := here.command(t.Context(), "doctor", "--cluster", here.cluster(), "--json").CombinedOutput()
	good := 0
	for line := range strings.Lines(string(out)) {
		var check struct{ Status string }
		if json.Unmarshal([]byte(line), &check) != nil || !slices.Contains([]string{"ok", "skipped", "warning"}, check.Status) { // a machine may have no browser
			t.Errorf("%s", line)
		}
		if check.Status == "ok" {
			good++
		}
	}
	if good < 5 {
		t.Errorf("%d checks are good\n%s", good, out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	s.leaveBy(syscall.SIGINT, 0)
}

// TestDemoStepTransport: where the nodes' sshd turns everybody away, the way is by a job step.
func TestDemoStepTransport(t *testing.T) {
	here.begin(t)
	stage.TurnAway(true)
	t.Cleanup(func() { stage.TurnAway(false) })
	s := serve(t, nil)
	reaches(t, s.ready())
	if w, ok := s.find("warning"); !ok || !strings.Contains(w.Message, "job step") {
		t.Errorf("no warning, or another: %s", w.Message)
	}
	s.leaveBy(syscall.SIGINT, 0)
}

// TestQuickVersion: nothing of a demo is made by a command that does not ask for it. What counts is
// the processor's time: how long it waits for one is the machine's affair.
func TestQuickVersion(t *testing.T) {
	best := time.Hour
	for range 10 {
		cmd := exec.CommandContext(t.Context(), stage.bin, "version")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		best = min(best, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	if best > 30*time.Millisecond {
		t.Errorf("cscs version took %v", best)
	}
}

// TestDemoReadme: the README's first command, word for word, from a checkout, by somebody who
// has Go and nothing else.
func TestDemoReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, first, _ := strings.Cut(string(readme), "```sh\n")
	first, _, _ = strings.Cut(first, "\n")
	if first != "go run ./cmd/cscs demo" {
		t.Fatalf("the README's first command is %q", first)
	}
	n := newNewcomer(t)
	n.env = append(n.env, "XDG_CONFIG_HOME="+t.TempDir()) // the go command keeps notes of its own there
	gotool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if gotool, err = filepath.EvalSymlinks(gotool); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(gotool, filepath.Join(n.dir, "bin", "go")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY"} {
		value, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		n.env = append(n.env, name+"="+strings.TrimSpace(string(value)))
	}
	words := strings.Fields(first)
	cmd := exec.CommandContext(context.Background(), gotool, append(words[1:], "--json", "--no-browser")...)
	cmd.Dir, cmd.Env = "../..", n.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s := &session{background: start(t, cmd)}
	e := s.built("ready")
	if code, _ := here.get(t, e.URL); code != 200 {
		t.Errorf("GET %s: %d", e.URL, code)
	}
	// As the terminal does it: to all of the group.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.exit(patience)
	if last := s.events()[len(s.events())-1]; last.Event != "ended" || *last.Code != 0 {
		t.Errorf("ended: %+v", last)
	}
	n.gone(5 * time.Second)
}

// built is wait for what has to be built first.
func (s *session) built(name string) event {
	s.t.Helper()
	e, ok := s.await(5*time.Minute, name, "ended")
	if !ok || e.Event != name {
		s.t.Fatalf("no %s came\nstdout: %s\nstderr: %s", name, s.stdout, s.stderr)
	}
	return e
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
