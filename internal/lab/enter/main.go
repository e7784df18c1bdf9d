//go:build linux

// Command enter runs a command inside the namespaces of a process and represents it outside. Killing
// enter kills the command. A signal to enter reaches the command once. The exit status of enter is
// that of the command.
//
//	enter PID DIRECTORY COMMAND...
//
// The command starts in DIRECTORY, as root; scripts/lab makes it change to the user.
//
// nsenter(1) is not enough. A process cannot move itself into a pid namespace, so nsenter forks, and
// keeps the signals that its child should get. enter forks too, but passes on the signals and the
// terminal.
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

// Namespaces belong to threads, so the main goroutine stays on the main thread. That thread is the
// command's parent. The command gets a signal when its parent thread ends (setpriv --pdeathsig, set
// by scripts/lab), here when the process ends.
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

// runInNamespaces runs argv in the namespaces of the process pid and returns its exit status.
func runInNamespaces(pid, dir string, argv []string) (int, error) {
	if _, err := strconv.Atoi(pid); err != nil {
		return 0, fmt.Errorf("not a process id: %q", pid)
	}
	if err := joinNamespaces(pid); err != nil {
		return 0, err
	}
	// Before the start, so that no signal is lost.
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

// forwarded are the signals that enter passes to the command.
var forwarded = []os.Signal{
	unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGWINCH,
}

// joinNamespaces moves this thread into all namespaces of the process. It opens them first, because
// this /proc is not visible in the new mount namespace.
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
	// setns(2) for a mount namespace fails for a thread that shares its root directory.
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

// A command is a running command. tty is the descriptor of its terminal, or -1.
type command struct {
	*os.Process
	tty int
}

// startCommand starts the command in a process group of its own. If this process has the terminal's
// foreground, the command gets it. So a Ctrl-C reaches the command once, from the terminal, and not
// again through enter.
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

// foregroundTerminal returns the descriptor of the controlling terminal if this process's group is in
// its foreground, and -1 otherwise.
func foregroundTerminal() int {
	for fd := range 3 {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err == nil && group == unix.Getpgrp() {
			return fd
		}
	}
	return -1
}

// wait waits until the command ends and returns its exit status. If the command stops, enter stops
// too, so that the shell outside can take the terminal back and continue enter later.
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

// setForeground moves the terminal's foreground to a process group. It ignores SIGTTOU, which would
// stop a process in the background.
func (c *command) setForeground(group int) {
	if c.tty < 0 {
		return
	}
	signal.Ignore(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(c.tty, unix.TIOCSPGRP, group)
}
