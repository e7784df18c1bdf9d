//go:build linux

// Command enter runs a command inside the namespaces of a process, and stands
// for it outside: what kills enter kills the command, a signal sent to enter
// reaches the command once, and the command's exit status is enter's.
//
//	enter PID DIRECTORY COMMAND...
//
// The command starts in DIRECTORY, as root; scripts/lab has it become the user.
//
// nsenter(1) is not enough: a process cannot move itself into a pid namespace,
// so nsenter forks, and keeps the signals that its child should get. enter has
// the same parent, and therefore hands signals on, and the terminal with them.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Namespaces belong to threads. The main goroutine stays on the main thread:
// the command's parent, whose death the command is told of (setpriv
// --pdeathsig, given by scripts/lab), is then the process's life.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: enter PID DIRECTORY COMMAND...")
		os.Exit(2)
	}
	status, err := runInNamespaces(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "enter:", err)
		os.Exit(125)
	}
	os.Exit(status)
}

func runInNamespaces(pid, dir string, argv []string) (int, error) {
	if _, err := strconv.Atoi(pid); err != nil {
		return 0, fmt.Errorf("not a process id: %q", pid)
	}
	if err := joinNamespaces(pid); err != nil {
		return 0, err
	}
	// Before the start, so that no signal falls between.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	child, err := startCommand(dir, argv)
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = child.Signal(s)
		}
	}()
	return child.wait()
}

// forwarded are the signals that are meant for the command.
var forwarded = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGWINCH,
}

// joinNamespaces moves this thread into every namespace of the process. All are opened
// first: after the mount namespace, this /proc is gone.
func joinNamespaces(pid string) error {
	names := []string{"net", "uts", "ipc", "pid", "mnt"} // mnt last: it also changes root and working directory
	files := make([]*os.File, len(names))
	for i, name := range names {
		f, err := os.Open("/proc/" + pid + "/ns/" + name)
		if err != nil {
			return fmt.Errorf("open namespace: %w", err)
		}
		defer func() { _ = f.Close() }()
		files[i] = f
	}
	// A mount namespace is only given to a thread with a root of its own.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare root directory: %w", err)
	}
	for i, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("join %s namespace of process %s: %w", names[i], pid, err)
		}
	}
	return nil
}

// command is the running command. tty is the descriptor of the terminal that
// it was given, or -1.
type command struct {
	*os.Process
	tty int
}

// startCommand gives the command a process group of its own, and the terminal where
// this process has it: so a Ctrl-C reaches the command once, from the
// terminal, and not a second time through enter.
func startCommand(dir string, argv []string) (*command, error) {
	c := &command{tty: foregroundTerminal()}
	attr := &os.ProcAttr{
		Env:   os.Environ(),
		Dir:   dir,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	if c.tty >= 0 {
		attr.Sys.Foreground = true
		attr.Sys.Ctty = c.tty
	}
	var err error
	if c.Process, err = os.StartProcess(argv[0], argv, attr); err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", argv[0], dir, err)
	}
	return c, nil
}

// foregroundTerminal returns the descriptor of the controlling terminal if this
// process's group is in its foreground, and -1 otherwise.
func foregroundTerminal() int {
	for fd := range 3 {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err == nil && group == unix.Getpgrp() {
			return fd
		}
	}
	return -1
}

// wait waits for the command to end, and stops with it when it is stopped, so
// that the shell outside can take the terminal back and continue it later.
func (c *command) wait() (int, error) {
	defer c.setForeground(unix.Getpgrp())
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(c.Pid, &status, unix.WUNTRACED, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for command: %w", err)
		case status.Exited():
			return status.ExitStatus(), nil
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		case status.Stopped():
			c.setForeground(unix.Getpgrp())
			_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
			c.setForeground(c.Pid)
			_ = unix.Kill(-c.Pid, unix.SIGCONT)
		}
	}
}

// setForeground moves the terminal's foreground to a process group. SIGTTOU is
// ignored: it is what a process in the background would be stopped by.
func (c *command) setForeground(group int) {
	if c.tty < 0 {
		return
	}
	signal.Ignore(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(c.tty, unix.TIOCSPGRP, group)
}
