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
// Little more: Ctrl-C stays a signal that the kernel sends, however busy this process is,
// and the ends of lines are written as ever. Only Ctrl-Z is a key.
type keyboard struct {
	tty       *os.File
	savedMode *unix.Termios // as we found it; nil: we have not looked yet
	enabled   bool
}

// isEnabled reports whether keys are handed on now.
func (k *keyboard) isEnabled() bool { return k.enabled }

func (k *keyboard) enable() bool {
	fd := int(k.tty.Fd())
	now, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return false
	}
	if k.savedMode == nil {
		k.savedMode = now
	}
	keys := *now
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME], keys.Cc[unix.VSUSP] = 1, 0, noKey
	k.enabled = unix.IoctlSetTermios(fd, setTermios, &keys) == nil
	return k.enabled
}

func (k *keyboard) disable() {
	if k.enabled {
		_ = unix.IoctlSetTermios(int(k.tty.Fd()), setTermios, k.savedMode)
		k.enabled = false
	}
}

// markDisabled is for a terminal that is another's now: what it was told is not ours to undo.
func (k *keyboard) markDisabled() { k.enabled = false }

// isForeground reports whether the terminal is ours to steer and to read: not in a job that
// the shell has in the background.
func (k *keyboard) isForeground() bool {
	group, err := unix.IoctlGetInt(int(k.tty.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// watchTerminal calls look when the terminal may have another size or this process may have come
// to its foreground. It listens when it returns; run ends with ctx.
func (k *keyboard) watchTerminal(ctx context.Context, look func()) (run func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH, syscall.SIGCONT)
	// A read that is under way when the shell moves us into the background fails, instead of
	// stopping the session.
	signal.Ignore(syscall.SIGTTIN)
	return func() {
		defer signal.Reset(syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTTIN)
		for {
			select {
			case <-changed:
				look()
			case <-ctx.Done():
				return
			}
		}
	}
}

// ctrlZ is what the key gives, since the kernel was told not to stop us before the
// terminal is given back.
const ctrlZ = 0x1a

// suspendProcess does what the kernel would have done: it stops the whole job, if there is a shell
// that could continue it, and returns when it goes on. A signal takes effect in its own time,
// and this thread may run on for a while.
func suspendProcess() {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	_ = syscall.Kill(0, syscall.SIGTSTP)
	select {
	case <-goesOn:
	case <-time.After(time.Second): // nobody could continue it, so that it was not stopped
	}
}
