package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CanOpen tells whether there is a browser that can show itself: a display
// (X11, Wayland, or Windows around WSL) or a $BROWSER that the user has set,
// and a program that starts one there. In a bare SSH login there is none, and
// what would be started is a text browser on the user's terminal.
//
// It is xdg-open that knows the user's browser, and whether $BROWSER is to be
// heeded: it is outside of the large desktops, which have their own setting.
func CanOpen() bool { return canOpen(os.Getenv, exec.LookPath) }

// textBrowsers show themselves on a terminal.
var textBrowsers = []string{"w3m", "lynx", "links", "links2", "elinks", "browsh", "carbonyl", "www-browser"}

func canOpen(getenv func(string) string, lookPath func(string) (string, error)) bool {
	display := false
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "WSL_INTEROP"} {
		if getenv(name) != "" {
			display = true
		}
	}
	if !display && !isGraphical(getenv("BROWSER")) {
		return false
	}
	// Not www-browser, which pkg/browser tries last: it is a text browser.
	for _, name := range []string{"xdg-open", "x-www-browser"} {
		if _, err := lookPath(name); err == nil {
			return true
		}
	}
	return false
}

// isGraphical tells whether a value of $BROWSER, commands separated by colons,
// begins with one that needs no terminal.
func isGraphical(browser string) bool {
	first, _, _ := strings.Cut(browser, ":")
	fields := strings.Fields(first)
	if len(fields) == 0 {
		return false
	}
	name := filepath.Base(fields[0])
	for _, text := range textBrowsers {
		if name == text {
			return false
		}
	}
	return true
}
