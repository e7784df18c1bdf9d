package ui

import (
	"context"
	"os"

	"golang.org/x/sys/windows"
)

// A keyboard is the console, told to hand on each key as it is pressed and to show none.
// Ctrl-C stays an event of the console's.
type keyboard struct {
	tty       *os.File
	savedMode uint32
	enabled   bool
}

func (k *keyboard) isEnabled() bool { return k.enabled }

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

func (k *keyboard) markDisabled() { k.enabled = false }

// isForeground: a console knows no jobs.
func (k *keyboard) isForeground() bool { return true }

// watchTerminal: a console that has another size is seen at the next look, which is every second.
func (k *keyboard) watchTerminal(ctx context.Context, _ func()) (run func()) {
	return func() { <-ctx.Done() }
}

// ctrlZ means nothing to a console.
const ctrlZ = 0x1a

func suspendProcess() {}
