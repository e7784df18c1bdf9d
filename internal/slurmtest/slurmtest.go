// Package slurmtest runs the remote half in this machine's bash, as sshd would, with commands that
// print recorded output of Slurm's (bin/). It makes fast tests possible. The lab decides how Slurm
// really behaves.
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

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A Cluster is a Slurm with one node, nid001001, whose jobs are processes of this machine. The
// environment sets its behaviour; see bin/.
type Cluster struct {
	Home string // the user's home directory

	t     *testing.T
	state string

	mu  sync.Mutex // guards env, which a test changes while commands start
	env []string

	started sync.WaitGroup
}

// HostKey is the host key of the node's sshd, which listens on the node's address only
// (bin/ssh-keyscan).
const HostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILQtbh34D6qk717E43t6JGys9MQI6FCbvl74LRwAAAAA"

// New returns a cluster with a new home directory. env is added to the cluster's environment.
func New(t *testing.T, env ...string) *Cluster {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	c := &Cluster{t: t, state: t.TempDir(), Home: t.TempDir()}
	c.env = append([]string{
		"PATH=" + filepath.Join(filepath.Dir(file), "bin") + ":" + os.Getenv("PATH"),
		"HOME=" + c.Home, "FAKE=" + c.state, "SHELL=/bin/bash", "FAKE_HOST_KEY=" + HostKey,
		// Variables that sites and sshd set.
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

// killLeftovers kills what a test has left running in jobs on purpose. It finds the processes by
// their environment, because their recorded numbers may be reused. It repeats, because a process
// may have started another one just before it was killed.
func (c *Cluster) killLeftovers() {
	for range 1000 {
		if c.Kill("") == 0 {
			return
		}
	}
}

// Kill kills (SIGKILL) the cluster's processes whose command line contains the words. It returns
// their number.
func (c *Cluster) Kill(words string) int { return c.killThose(words, false) }

// KillLogin kills (SIGKILL) every process of the login node.
func (c *Cluster) KillLogin() int { return c.killThose("", true) }

// StopLogin stops (SIGSTOP) every process of the login node, as if the machine froze. KillLogin ends
// them.
func (c *Cluster) StopLogin() {
	args := []string{"-STOP"} // not all systems have syscall.SIGSTOP
	c.visitProcesses("", true, func(p *os.Process) { args = append(args, strconv.Itoa(p.Pid)) })
	_ = exec.CommandContext(c.t.Context(), "kill", args...).Run() // a process may have ended meanwhile
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

// Running returns the number of the cluster's processes whose command line contains the words.
func (c *Cluster) Running(words string) int {
	n := 0
	c.visitProcesses(words, false, func(*os.Process) { n++ })
	return n
}

// RunningOnLogin is Running for processes of the login node.
func (c *Cluster) RunningOnLogin(words string) int {
	n := 0
	c.visitProcesses(words, true, func(*os.Process) { n++ })
	return n
}

// visitProcesses calls visit for the cluster's processes, or only for the login node's, whose command
// line contains the words.
func (c *Cluster) visitProcesses(words string, login bool, visit func(*os.Process)) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range environs {
		text, _ := os.ReadFile(f)
		env := strings.Split(string(text), "\x00")
		// Processes of the node have FAKE_ON=node in their environment.
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

// Setenv sets a variable, as NAME=VALUE, for processes that start from now on.
func (c *Cluster) Setenv(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.env = append(c.env, s)
}

// currentEnv returns the environment for a command that starts now.
func (c *Cluster) currentEnv() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.env)
}

// PutFirst puts dir first in PATH from now on.
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

// Busy makes scancel fail, as if slurmctld did not answer, or ends that.
func (c *Cluster) Busy(busy bool) { c.setStateFile("busy", busy) }

// Away makes slurmctld accept no request, or ends that.
func (c *Cluster) Away(away bool) { c.setStateFile("away", away) }

// setStateFile creates or removes the file of that name in the cluster's state.
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

// Paused waits until one of Slurm's commands has reached the pause that FAKE_PAUSE sets.
func (c *Cluster) Paused() {
	c.t.Helper()
	waittest.Until(c.t, 30*time.Second, "the place of FAKE_PAUSE is reached", func() bool {
		_, err := os.Stat(filepath.Join(c.state, "paused"))
		return err == nil
	})
}

// GoOn ends the pause. Later commands do not pause.
func (c *Cluster) GoOn() {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.state, "went-on"), nil, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Twice reports allocations that existed at the same time, which is an error. "" means none.
func (c *Cluster) Twice() string {
	b, _ := os.ReadFile(filepath.Join(c.state, "two"))
	return string(b)
}

// JobFile returns the path of a file about a job in the queue; see bin/.
func (c *Cluster) JobFile(job, name string) string { return filepath.Join(c.state, "jobs", job, name) }

// SetState sets the state of a job in the queue.
func (c *Cluster) SetState(job, state string) {
	c.t.Helper()
	if err := os.WriteFile(c.JobFile(job, "state"), []byte(state+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// Jobs returns the numbers of the jobs in the queue.
func (c *Cluster) Jobs() []string {
	jobs, _ := filepath.Glob(filepath.Join(c.state, "jobs", "*"))
	for i, dir := range jobs {
		jobs[i] = filepath.Base(dir)
	}
	return jobs
}

// RunJob adds a job of the user that runs on the node until ends.
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

// Calls returns the command lines of Slurm's commands so far.
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

// ExitError is the error of a command with an exit status other than 0.
type ExitError int

func (e ExitError) Error() string { return "the command failed" }

// ExitStatus returns the exit status.
func (e ExitError) ExitStatus() int { return int(e) }

// Exec runs a command with the login shell, as sshd does. The end of ctx is the end of the SSH
// connection.
func (c *Cluster) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	// Not CommandContext: sshd does not kill the command either. It closes standard input.
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

// Start is Exec with a connection as standard input and output. Closing the connection ends the
// command's standard input.
func (c *Cluster) Start(_ context.Context, command string, stderr io.Writer) (net.Conn, error) {
	here, there := net.Pipe()
	c.started.Go(func() {
		_ = c.Exec(context.Background(), command, there, there, stderr)
		_ = there.Close()
	})
	return here, nil
}
