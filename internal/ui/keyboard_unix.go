//go:build unix

package ui

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A keyboard is the terminal, told to hand on each key as it is pressed and to show none.
// Only that: Ctrl-C stays a signal that the kernel sends, however busy this process is,
// and the ends of lines are written as ever.
type keyboard struct {
	tty     *os.File
	before  *unix.Termios // as we found it; nil: we have not looked yet
	enabled bool
}

// on reports whether keys are handed on now.
func (k *keyboard) on() bool { return k.enabled }

func (k *keyboard) enable() bool {
	fd := int(k.tty.Fd())
	now, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return false
	}
	if k.before == nil {
		k.before = now
	}
	keys := *now
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
	k.enabled = unix.IoctlSetTermios(fd, setTermios, &keys) == nil
	return k.enabled
}

func (k *keyboard) disable() {
	if k.enabled {
		_ = unix.IoctlSetTermios(int(k.tty.Fd()), setTermios, k.before)
		k.enabled = false
	}
}

// forget is for a terminal that is another's now: what it was told is not ours to undo.
func (k *keyboard) forget() { k.enabled = false }

// foreground reports whether the terminal is ours to steer and to read: not in a job that
// the shell has in the background.
func (k *keyboard) foreground() bool {
	group, err := unix.IoctlGetInt(int(k.tty.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// attend calls look when the terminal may have another size or this process may have come
// to its foreground, and leave when Ctrl-Z is pressed, until ctx ends. It returns when it
// listens, with what waits for its end.
func (k *keyboard) attend(ctx context.Context, look, leave func()) (run func()) {
	changed, stopped := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH, syscall.SIGCONT)
	signal.Notify(stopped, syscall.SIGTSTP)
	// A read that is under way when the shell moves us into the background fails, instead of
	// stopping the session.
	signal.Ignore(syscall.SIGTTIN)
	return func() {
		defer signal.Reset(syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGTTIN)
		for {
			select {
			case <-changed:
				look()
			case <-stopped:
				leave()
				suspend(changed)
				signal.Notify(stopped, syscall.SIGTSTP)
				look()
			case <-ctx.Done():
				return
			}
		}
	}
}

// suspend stops this process as Ctrl-Z would, and returns when it goes on: soon, if nobody
// would be there to continue it.
func suspend(changed <-chan os.Signal) {
	signal.Reset(syscall.SIGTSTP)
	_ = syscall.Kill(os.Getpid(), syscall.SIGTSTP)
	orphaned := time.NewTimer(time.Second)
	defer orphaned.Stop()
	select {
	case <-changed: // SIGCONT
	case <-orphaned.C:
	}
}
