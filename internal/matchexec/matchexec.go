// Package matchexec runs ssh -G. However often ssh is asked, each command of "Match exec" in ssh's
// configuration runs once in the life of this process.
//
// ssh runs such a command by the user's shell ($SHELL -c COMMAND; ssh_config(5), Match). Here $SHELL is
// this program. It asks the process that started ssh for the command's exit status. That process runs
// the command by the real shell, or knows the status already.
package matchexec

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

const (
	socketVar = "CSCS_MATCH_SOCKET" // set for ssh and its children
	shellVar  = "CSCS_MATCH_SHELL"  // the user's shell; may be empty
	ownShell  = "/bin/sh"           // what ssh uses without $SHELL (_PATH_BSHELL)
	failed    = 255                 // the status of a command that did not run or was killed
)

// helps reports that main has called Helper, so that this program can answer as a shell.
var helps bool

// Helper reports whether ssh started this process in place of a shell, and the status to exit with. The
// main function calls it first. Without that call each ssh runs the commands itself.
func Helper() (status int, is bool) {
	socket, is := os.LookupEnv(socketVar)
	if !is || len(os.Args) != 3 || os.Args[1] != "-c" {
		helps = true
		return 0, false
	}
	return askOrRun(socket, os.Args[2]), true
}

// askOrRun asks the process at the socket for the exit status of a command. It runs the command itself
// only if the socket exists but nothing listens, because that process was killed. If the socket is
// removed or no answer comes, that process has stopped ssh, and ssh does not need the status.
func askOrRun(socket, command string) int {
	conn, err := new(net.Dialer).DialContext(context.Background(), "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed
	case err != nil:
		return runCommand(shellCommand(context.Background(), command, os.Getenv(shellVar)))
	}
	defer conn.Close()
	status, err := askStatus(conn, command)
	if err != nil {
		return failed
	}
	return status
}

// askStatus sends a command and returns its exit status.
func askStatus(conn net.Conn, command string) (int, error) {
	if _, err := io.WriteString(conn, command); err != nil {
		return 0, err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return 0, err
	}
	var status uint32
	err := binary.Read(conn, binary.BigEndian, &status)
	return int(status), err
}

// shellCommand returns a command as ssh runs it by the user's shell: without input and output.
func shellCommand(ctx context.Context, command, shell string) *exec.Cmd {
	if shell == "" {
		shell = ownShell
	}
	cmd := exec.CommandContext(ctx, shell, "-c", command)
	cmd.Env = shellEnvironment(shell)
	return cmd
}

// runCommand runs a command and returns its exit status.
func runCommand(cmd *exec.Cmd) int {
	var exit *exec.ExitError
	err := cmd.Run()
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	return failed
}

// shellEnvironment returns the environment of this process without our variables.
func shellEnvironment(shell string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, socketVar+"=") && !strings.HasPrefix(v, shellVar+"=") && !strings.HasPrefix(v, "SHELL=") {
			env = append(env, v)
		}
	}
	return append(env, "SHELL="+shell)
}

// results are the exit statuses of the commands.
var results = struct {
	sync.Mutex
	of map[string]*result
}{of: map[string]*result{}}

type result struct {
	turn   chan struct{} // held while the command runs or the result is read
	known  bool
	late   bool // the command took longer than one ssh may
	status int
}

// commandStatus returns the exit status of a command, which runs once. Concurrent callers wait for the
// first. A command that an interrupt ended runs again. One that took too long does not: each later call
// waits until its ctx ends.
func commandStatus(ctx context.Context, command, shell string) int {
	results.Lock()
	r := results.of[command]
	if r == nil {
		r = &result{turn: make(chan struct{}, 1)}
		results.of[command] = r
	}
	results.Unlock()
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return failed
	}
	switch {
	case r.late:
		<-ctx.Done()
		return failed
	case !r.known:
		cmd := shellCommand(ctx, command, shell)
		endWithGroup(cmd)
		r.status = runCommand(cmd)
		r.known = ctx.Err() == nil
		r.late = errors.Is(ctx.Err(), context.DeadlineExceeded)
	}
	return r.status
}

// Run runs cmd, an ssh -G that ends with ctx. If the commands cannot be shared, ssh runs them itself.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	listener, stop, err := openSocket()
	if err != nil {
		return cmd.Run()
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return cmd.Run()
	}
	if _, err := os.Stat(self); err != nil { // it was replaced while it ran
		return cmd.Run()
	}
	shell := os.Getenv("SHELL")
	cmd.Env = append(os.Environ(), "SHELL="+self, shellVar+"="+shell, socketVar+"="+listener.Addr().String())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer listener.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serveCommand(ctx, conn, shell) })
		}
	})
	return cmd.Run()
}

// serveCommand answers one helper with the exit status of its command.
func serveCommand(ctx context.Context, conn net.Conn, shell string) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	command, err := io.ReadAll(conn)
	if err != nil {
		return
	}
	code := commandStatus(ctx, string(command), shell)
	if ctx.Err() == nil { // else ssh was stopped
		_ = binary.Write(conn, binary.BigEndian, uint32(code))
	}
}

var errAlone = errors.New("ssh runs the commands itself")

// openSocket listens on a socket in a directory that only this user can enter.
func openSocket() (l net.Listener, stop func(), err error) {
	if !helps || runtime.GOOS == "windows" {
		return nil, nil, errAlone
	}
	if err := owndir.CheckParent(os.TempDir()); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "cscs-match-")
	if err != nil {
		return nil, nil, err
	}
	stop = func() { _ = os.RemoveAll(dir) }
	if l, err = new(net.ListenConfig).Listen(context.Background(), "unix", filepath.Join(dir, "s")); err != nil {
		stop()
		return nil, nil, err
	}
	return l, stop, nil
}
