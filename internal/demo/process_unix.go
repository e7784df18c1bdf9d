//go:build unix

package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/internal/spawn"
)

// venvPrograms is the directory of programs in a virtual environment.
const venvPrograms = "bin"

// startProcess starts a server below a keeper, which is this program again. The keeper's standard
// input is a pipe from this process. When the pipe closes, as it does when this process ends, the
// keeper ends the server. The keeper also ends what the server leaves in its process group.
func startProcess(argv, env []string, dir string, log io.Writer) (*process, error) {
	self, err := spawn.Executable()
	if err != nil {
		return nil, err
	}
	out, logged, err := logPipe(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	said, report, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = said.Close() }()
	cmd := exec.CommandContext(context.Background(), self)
	cmd.Args = append([]string{"cscs"}, argv...)
	// The server must see its own helperEnv, if it has one.
	cmd.Env = append(replaceHelper(env), helperEnv+"="+keeperHelper)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.ExtraFiles = []*os.File{report}
	cmd.SysProcAttr = spawn.Detached()
	lifeline, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	_ = report.Close()
	if err != nil {
		return nil, err
	}
	p := &process{done: make(chan struct{})}
	line, _ := bufio.NewReader(said).ReadString('\n')
	if p.pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		_ = cmd.Wait()
		return nil, errors.New(strings.TrimSpace(line))
	}
	p.kill = func(hard bool) {
		order := byte(termOrder)
		if hard {
			order = killOrder
		}
		_, _ = lifeline.Write([]byte{order}) // fails if the keeper has ended
	}
	go func() { // ends with the keeper
		defer close(p.done)
		err := cmd.Wait()
		_ = lifeline.Close()
		// A process that has inherited the pipe may hold it open forever.
		full := make(chan struct{})
		go func() { logged(); close(full) }()
		select {
		case <-full:
		case <-time.After(time.Second):
		}
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && exit.ExitCode() >= 0:
			p.code = exit.ExitCode()
		case err != nil:
			p.code = 128 + int(syscall.SIGKILL) // the keeper was killed
		}
	}()
	return p, nil
}

// replaceHelper renames helperEnv to innerEnv, for a server that is itself a helper.
func replaceHelper(env []string) []string {
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, helperEnv+"="); ok {
			kv = innerEnv + "=" + value
		}
		out = append(out, kv)
	}
	return out
}

// runKeeper runs argv and writes its process ID to file descriptor 3. It returns the exit status
// of argv, and ends argv when the cluster's process ends.
func runKeeper(argv []string) int {
	report := os.NewFile(3, "report")
	// Handled without effect. The server would inherit an ignored signal.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	runtime.LockOSThread() // Pdeathsig depends on the thread that starts the server (prctl(2))
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...)
	cmd.Env = os.Environ()
	if inner, ok := os.LookupEnv(innerEnv); ok {
		_ = os.Unsetenv(innerEnv)
		cmd.Env = append(os.Environ(), helperEnv+"="+inner)
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr //nolint:forbidigo // they are the pipe to the log
	cmd.SysProcAttr = serverProcAttr()
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(report, err)
		return 97
	}
	fmt.Fprintln(report, cmd.Process.Pid)
	_ = report.Close()
	g := &processGroup{leader: cmd.Process.Pid}
	ended := make(chan struct{})
	go func() {
		g.handleOrders(os.Stdin) //nolint:forbidigo // the pipe from the cluster's process
		g.signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
		}
		g.signal(syscall.SIGKILL)
	}()
	if awaitExit(cmd.Process.Pid) {
		g.signal(syscall.SIGKILL) // what the server has left running
	}
	g.disableSignals()
	err := cmd.Wait()
	close(ended)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	return 97
}

// The orders that the keeper reads from its standard input, one byte each.
const (
	termOrder = 't'
	killOrder = 'k'
)

// A processGroup is the server's process group. Only the keeper signals it, and only until the
// leader is reaped. Afterwards the kernel may give its number to another group.
type processGroup struct {
	leader int

	mu   sync.Mutex
	over bool
}

func (g *processGroup) signal(s syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		_ = syscall.Kill(-g.leader, s)
	}
}

// disableSignals makes later calls of signal do nothing.
func (g *processGroup) disableSignals() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
}

// handleOrders carries out the orders of the cluster's process until that process ends.
func (g *processGroup) handleOrders(orders io.Reader) {
	r := bufio.NewReader(orders)
	for {
		switch order, err := r.ReadByte(); {
		case err != nil:
			return
		case order == termOrder:
			g.signal(syscall.SIGTERM)
		case order == killOrder:
			g.signal(syscall.SIGKILL)
		}
	}
}
