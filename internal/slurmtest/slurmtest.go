// Package slurmtest runs the remote half with this machine's bash, as sshd would,
// against commands that print what Slurm's were seen to print (bin/). It is for
// fast tests; what Slurm really does, the lab decides.
package slurmtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Cluster is a Slurm of one node, nid001001, whose jobs are processes of this
// machine. Its behaviour is set by the environment; see bin/.
type Cluster struct {
	Home string // of the user

	t     *testing.T
	state string

	mu  sync.Mutex // over env: a test changes it while commands start
	env []string

	started sync.WaitGroup
}

// HostKey is what the node's sshd shows. It listens on the node's address only (bin/ssh-keyscan).
const HostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILQtbh34D6qk717E43t6JGys9MQI6FCbvl74LRwAAAAA"

// New returns a cluster with a fresh home. The environment is added to.
func New(t *testing.T, env ...string) *Cluster {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	c := &Cluster{t: t, state: t.TempDir(), Home: t.TempDir()}
	c.env = append([]string{
		"PATH=" + filepath.Join(filepath.Dir(file), "bin") + ":" + os.Getenv("PATH"),
		"HOME=" + c.Home, "FAKE=" + c.state, "SHELL=/bin/bash", "FAKE_HOST_KEY=" + HostKey,
		// What sites and sshd set.
		"SQUEUE_FORMAT=%i only", "SLURM_TIME_FORMAT=relative", "SSH_CLIENT=127.0.0.1 1 22",
	}, env...)
	t.Cleanup(func() {
		c.killLeftovers()
		c.started.Wait()
		if t.Failed() {
			t.Logf("calls of Slurm's commands:\n%s", c.Calls())
		}
	})
	return c
}

// killLeftovers ends what a test has left in jobs on purpose. Processes of the cluster are
// known by their environment; their recorded numbers may be others' by now.
// One that is killed may have started another a moment before.
func (c *Cluster) killLeftovers() {
	for range 1000 {
		if c.Kill("") == 0 {
			return
		}
	}
}

// Kill kills, as kill -9 does, the processes of the cluster whose command line contains
// the words; it returns how many.
func (c *Cluster) Kill(words string) int { return c.killThose(words, false) }

// KillLogin kills, as kill -9 does, every process of the login node.
func (c *Cluster) KillLogin() int { return c.killThose("", true) }

// StopLogin stops every process of the login node, as a machine that freezes does: KillLogin ends them.
func (c *Cluster) StopLogin() {
	args := []string{"-STOP"} // package syscall has this signal not on all systems
	c.visitProcesses("", true, func(p *os.Process) { args = append(args, strconv.Itoa(p.Pid)) })
	_ = exec.CommandContext(c.t.Context(), "kill", args...).Run() // one may have ended meanwhile
}

func (c *Cluster) killThose(words string, login bool) int {
	n := 0
	c.visitProcesses(words, login, func(p *os.Process) {
		if p.Kill() == nil {
			n++
		}
	})
	return n
}

// Running counts the processes of the cluster whose command line contains the words.
func (c *Cluster) Running(words string) int {
	n := 0
	c.visitProcesses(words, false, func(*os.Process) { n++ })
	return n
}

// RunningOnLogin counts those of them that run on the login node.
func (c *Cluster) RunningOnLogin(words string) int {
	n := 0
	c.visitProcesses(words, true, func(*os.Process) { n++ })
	return n
}

func (c *Cluster) visitProcesses(words string, login bool, visit func(*os.Process)) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range environs {
		text, _ := os.ReadFile(f)
		env := strings.Split(string(text), "\x00")
		// What runs on the node was started there with a mark.
		if !slices.Contains(env, "FAKE="+c.state) || login && slices.Contains(env, "FAKE_ON=node") {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if !strings.Contains(strings.ReplaceAll(string(cmdline), "\x00", " "), words) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if p, err := os.FindProcess(pid); err == nil {
			visit(p)
		}
	}
}

// Setenv changes the environment of what runs from now on.
func (c *Cluster) Setenv(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.env = append(c.env, s)
}

// currentEnv is the environment of a command that starts now.
func (c *Cluster) currentEnv() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.env)
}

// PutFirst has the commands in dir found before all others from now on.
func (c *Cluster) PutFirst(dir string) {
	for _, v := range c.currentEnv() {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			c.Setenv("PATH=" + dir + ":" + path)
			return
		}
	}
}

// Free lets pending jobs start (FAKE_QUEUE=1).
func (c *Cluster) Free() {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.state, "free"), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Busy has scancel fail, as with a controller that does not answer, or not any more.
func (c *Cluster) Busy(busy bool) { c.setStateFile("busy", busy) }

// Away has the controller take no request, or take them again.
func (c *Cluster) Away(away bool) { c.setStateFile("away", away) }

// setStateFile makes the file of that name in the cluster's state, or removes it.
func (c *Cluster) setStateFile(name string, there bool) {
	c.t.Helper()
	file := filepath.Join(c.state, name)
	err := os.Remove(file)
	if there {
		err = os.WriteFile(file, nil, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// Paused waits until one of Slurm's commands has reached the place of FAKE_PAUSE.
func (c *Cluster) Paused() {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, err := os.Stat(filepath.Join(c.state, "paused")); err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal("the place of FAKE_PAUSE was never reached")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// GoOn ends the pause, and there is no other.
func (c *Cluster) GoOn() {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.state, "went-on"), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Twice tells of allocations that stood beside each other; there should be none.
func (c *Cluster) Twice() string {
	b, _ := os.ReadFile(filepath.Join(c.state, "two"))
	return string(b)
}

// JobFile is the file in which the cluster keeps something of a job in the queue; see bin/.
func (c *Cluster) JobFile(job, name string) string { return filepath.Join(c.state, "jobs", job, name) }

// SetState has Slurm give a job in the queue another state.
func (c *Cluster) SetState(job, state string) {
	c.t.Helper()
	if err := os.WriteFile(c.JobFile(job, "state"), []byte(state+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Jobs returns the numbers of the jobs that are in the queue.
func (c *Cluster) Jobs() []string {
	jobs, _ := filepath.Glob(filepath.Join(c.state, "jobs", "*"))
	for i, dir := range jobs {
		jobs[i] = filepath.Base(dir)
	}
	return jobs
}

// RunJob adds a job of the user's that runs on the node until a time limit.
func (c *Cluster) RunJob(number string, ends time.Time) {
	c.t.Helper()
	if err := os.MkdirAll(c.JobFile(number, ""), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(c.JobFile(number, "ends"), []byte(strconv.FormatInt(ends.Unix(), 10)+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.SetState(number, "RUNNING")
}

// EndJob ends a job with a state, such as CANCELLED.
func (c *Cluster) EndJob(number, state string) {
	c.t.Helper()
	gone := filepath.Join(c.state, "gone."+number)
	if err := os.Rename(c.JobFile(number, ""), gone); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(gone, "state"), []byte(state+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Calls returns the command lines with which Slurm's commands were called.
func (c *Cluster) Calls() string {
	b, _ := os.ReadFile(filepath.Join(c.state, "calls"))
	return string(b)
}

// Requested reports whether salloc or sbatch was called.
func (c *Cluster) Requested() bool { return c.Called("salloc") || c.Called("sbatch") }

// Called reports whether one of Slurm's commands was called.
func (c *Cluster) Called(command string) bool {
	for line := range strings.Lines(c.Calls()) {
		if strings.HasPrefix(line, command+" ") {
			return true
		}
	}
	return false
}

// ExitError is the error of a command that ended with another status than 0.
type ExitError int

func (e ExitError) Error() string { return "the command failed" }

// ExitStatus returns the status.
func (e ExitError) ExitStatus() int { return int(e) }

// Exec does what sshd does: the login shell is given the command. The end of ctx
// is the end of the connection.
func (c *Cluster) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	// Not CommandContext: sshd does not kill either, it closes standard input.
	cmd := exec.Command("/bin/bash", "-c", command) //nolint:noctx // see above
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = c.currentEnv(), c.Home, stdout, stderr
	if _, err := os.Stat(c.Home); err != nil {
		cmd.Dir = "/" // as sshd does
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(in, stdin)
		_ = in.Close()
	}()
	defer context.AfterFunc(ctx, func() { _ = in.Close() })()
	err = cmd.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return ExitError(exit.ExitCode())
	}
	return err
}

// Start is Exec with standard input and output as a connection, whose end is that of
// the command's standard input.
func (c *Cluster) Start(_ context.Context, command string, stderr io.Writer) (net.Conn, error) {
	here, there := net.Pipe()
	c.started.Go(func() {
		_ = c.Exec(context.Background(), command, there, there, stderr)
		_ = there.Close()
	})
	return here, nil
}
