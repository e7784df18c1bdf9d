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

// A keyboard is a terminal that passes each key on at once and without echo. Ctrl-C stays a signal from the
// kernel, even if this process is busy, and line ends are written as before. Only Ctrl-Z becomes a key.
type keyboard struct {
	tty       *os.File
	savedMode *unix.Termios // the mode at the first enable; nil: none yet
	enabled   bool
}

// enable enables the keys and reports whether it succeeded.
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

// isForeground reports whether this process group is the terminal's foreground group.
func (k *keyboard) isForeground() bool {
	group, err := unix.IoctlGetInt(int(k.tty.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// watchTerminal calls update when the terminal may have a new size, or this process may be in the foreground
// again. It receives signals from its return on; run ends with ctx.
func (k *keyboard) watchTerminal(ctx context.Context, update func()) (run func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH, syscall.SIGCONT)
	// A read that is pending when the shell moves this process to the background fails. Without this, the
	// kernel would stop the session.
	signal.Ignore(syscall.SIGTTIN)
	return func() {
		defer signal.Reset(syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGTTIN)
		for {
			select {
			case <-changed:
				update()
			case <-ctx.Done():
				return
			}
		}
	}
}

// ctrlZ is the byte of Ctrl-Z. The view must restore the terminal before the process stops, so the kernel must
// not stop it.
const ctrlZ = 0x1a

// suspendProcess stops the process group, as the kernel would, and returns when it continues. Without a shell
// that can continue it, the kernel does not stop it. The signal may take effect late, so this thread waits.
func suspendProcess() {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	_ = syscall.Kill(0, syscall.SIGTSTP)
	select {
	case <-goesOn:
	case <-time.After(time.Second): // no shell could continue it, so the kernel did not stop it
	}
}
