package ui

import (
	"context"
	"os"

	"golang.org/x/sys/windows"
)

// A keyboard is the console, told to hand on each key as it is pressed and to show none.
// Ctrl-C stays an event of the console's.
type keyboard struct {
	tty     *os.File
	before  uint32
	enabled bool
}

func (k *keyboard) on() bool { return k.enabled }

func (k *keyboard) enable() bool {
	h := windows.Handle(k.tty.Fd())
	if windows.GetConsoleMode(h, &k.before) != nil {
		return false
	}
	k.enabled = windows.SetConsoleMode(h, k.before&^(windows.ENABLE_LINE_INPUT|windows.ENABLE_ECHO_INPUT)) == nil
	return k.enabled
}

func (k *keyboard) disable() {
	if k.enabled {
		_ = windows.SetConsoleMode(windows.Handle(k.tty.Fd()), k.before)
		k.enabled = false
	}
}

func (k *keyboard) forget() { k.enabled = false }

// foreground: a console knows no jobs.
func (k *keyboard) foreground() bool { return true }

// attend: a console that has another size is seen at the next look, which is every second.
func (k *keyboard) attend(ctx context.Context, _ func()) (run func()) {
	return func() { <-ctx.Done() }
}

// ctrlZ means nothing to a console.
const ctrlZ = 0x1a

func suspend() {}
