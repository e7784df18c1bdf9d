package ui

import (
	"context"
	"os"

	"golang.org/x/sys/windows"
)

// A keyboard is a console that passes each key on at once and without echo. Ctrl-C stays a console event.
type keyboard struct {
	tty       *os.File
	savedMode uint32
	enabled   bool
}

func (k *keyboard) enable() bool {
	h := windows.Handle(k.tty.Fd())
	if windows.GetConsoleMode(h, &k.savedMode) != nil {
		return false
	}
	k.enabled = windows.SetConsoleMode(h, k.savedMode&^(windows.ENABLE_LINE_INPUT|windows.ENABLE_ECHO_INPUT)) == nil
	return k.enabled
}

func (k *keyboard) disable() {
	if k.enabled {
		_ = windows.SetConsoleMode(windows.Handle(k.tty.Fd()), k.savedMode)
		k.enabled = false
	}
}

// isForeground returns true: a console has no background jobs.
func (k *keyboard) isForeground() bool { return true }

// watchTerminal calls no function. The view notices a new size within a second, at the next redraw.
func (k *keyboard) watchTerminal(ctx context.Context, _ func()) (run func()) {
	return func() { <-ctx.Done() }
}

// ctrlZ has no effect in a console.
const ctrlZ = 0x1a

func suspendProcess() {}
