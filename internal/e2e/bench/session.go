//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A session is a cscs process of alice on the laptop.
type session struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  *bufio.Scanner
	job    string
	url    string
	port   int
}

// startSession runs "cscs run" on the laptop.
func (b *bench) startSession(ctx context.Context, port string, command ...string) (*session, error) {
	return b.startWith(ctx, nil, port, nil, command...)
}

// startWith is startSession with environment variables and further flags.
func (b *bench) startWith(ctx context.Context, environment []string, port string, flags []string, command ...string) (*session, error) {
	argv := slices.Concat([]string{"env"}, environment, []string{b.cscs, "run", "--json", "--no-browser", "--protect=false", "--cluster", "daint", "--time", "10", "--port", port},
		flags, []string{"--"}, command)
	// The time starts when alice presses Enter, not when scripts/lab enters the laptop.
	s := &session{cmd: b.As(ctx, "alice", "laptop", append([]string{"bash", "-c", `echo "began $EPOCHREALTIME"; exec "$@"`, "bash"}, argv...)...)}
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.lines = bufio.NewScanner(out)
	return s, nil
}

// startTestServer starts a session with the tests' server and waits until it is ready.
func (b *bench) startTestServer(ctx context.Context) (*session, error) {
	s, err := b.startSession(ctx, "6007", "/home/testserver", "127.0.0.1:{port}")
	if err != nil {
		return nil, err
	}
	if _, err := s.readStartTime(); err != nil {
		return nil, err
	}
	return s, s.awaitReady()
}

// readStartTime returns when alice gave the command.
func (s *session) readStartTime() (time.Time, error) {
	if !s.lines.Scan() {
		return time.Time{}, fmt.Errorf("no first line: %s", s.stderr.String())
	}
	return parseEpoch(strings.TrimPrefix(s.lines.Text(), "began "))
}

func parseEpoch(text string) (time.Time, error) {
	var sec, usec int64
	if _, err := fmt.Sscanf(strings.TrimSpace(text), "%d.%d", &sec, &usec); err != nil {
		return time.Time{}, fmt.Errorf("not a time: %q", text)
	}
	return time.Unix(sec, usec*1000), nil
}

// awaitReady reads events until the session is ready.
func (s *session) awaitReady() error {
	for s.lines.Scan() {
		var e struct {
			Event, Job, URL, Message string
			LocalPort                int `json:"local_port"`
		}
		if err := json.Unmarshal(s.lines.Bytes(), &e); err != nil {
			return fmt.Errorf("%q: %w", s.lines.Text(), err)
		}
		switch e.Event {
		case "granted":
			s.job = e.Job
		case "ready":
			s.url, s.port = e.URL, e.LocalPort
			return nil
		case "error":
			return fmt.Errorf("cscs: %s", e.Message)
		}
	}
	return fmt.Errorf("cscs ended: %s", s.stderr.String())
}

// stop ends the session as Ctrl-C does and waits for it.
func (s *session) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	for s.lines.Scan() {
		// Read the rest of the output, so that the pipe does not fill.
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("cscs: %w: %s", err, s.stderr.String())
	}
	return nil
}

// sshConfig is the laptop's configuration, as in CSCS's documentation.
const sshConfig = `Host ela
    HostName ela.cscs.ch
Host daint
    HostName daint.alps.cscs.ch
    ProxyJump ela
Host nid*
    ProxyJump ela,daint
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
Host *
    User alice
    IdentityFile ~/.ssh/cscs-key
    IdentitiesOnly yes
`

// byHandScript is the recipe of CSCS's documentation, without a user's mistakes and pauses: one login, in
// which salloc and srun run, and the tunnel from the laptop. Its arguments are the port and the server's
// command. It prints its steps, and continues to the end when its input ends.
const byHandScript = `
echo "began $EPOCHREALTIME"
exec 3< <(exec ssh -F ~/bench-ssh daint "salloc --no-shell -J byhand -t 10 2>/dev/null
	read -r job node < <(squeue -h -n byhand -o '%i %N')
	echo \$job \$node
	exec srun --jobid=\$job --overlap ${*:2} >/dev/null 2>&1" </dev/null)
read -r job node <&3
echo "job $job $node"
ssh -F ~/bench-ssh -N -L $1:localhost:$1 $node </dev/null &
until curl -sf -o /dev/null --max-time 5 http://127.0.0.1:$1/; do sleep 0.05; done
echo "answered $EPOCHREALTIME"
read -r
kill %1 && wait %1 2>/dev/null
ssh -F ~/bench-ssh daint "scancel $job"
echo done
`

// prepareLab writes the ssh config for the recipe by hand and builds the tests' server.
func (b *bench) prepareLab(ctx context.Context) error {
	if err := b.feedShell(ctx, "laptop", "cat >~/bench-ssh", sshConfig); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.Env["CLUSTER_HOMES"]+"/testserver", "./internal/e2e/testserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build testserver: %w: %s", err, out)
	}
	return b.awaitQuiet(ctx)
}

// feedShell runs a command in alice's shell on a host, with the text as its input.
func (b *bench) feedShell(ctx context.Context, host, command, text string) error {
	shell := b.As(ctx, "alice", host, "bash", "-c", command)
	shell.Stdin = strings.NewReader(text)
	if out, err := shell.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", host, command, err, out)
	}
	return nil
}

// awaitQuiet waits until the queue is empty, so that no round waits for a node, and then for quiet.
func (b *bench) awaitQuiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := b.awaitEmpty(ctx); err != nil {
		return err
	}
	sleepContext(ctx, quiet)
	return ctx.Err()
}

// quiet is a pause without requests to Slurm before a session. For seconds after a job's end, Slurm's
// schedulers and slurmd still process it.
const quiet = 15 * time.Second
