package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// CanOpen reports whether a browser can open here. It needs a display (X11, Wayland, or Windows around
// WSL) or a graphical $BROWSER, and a program that starts one. In a bare SSH login only a text browser
// could start, on the user's terminal.
//
// xdg-open knows the user's browser. It heeds $BROWSER outside of the large desktops, which have their own setting.
func CanOpen() bool { return canOpen(os.Getenv, exec.LookPath) }

// textBrowsers run on a terminal.
var textBrowsers = []string{"w3m", "lynx", "links", "links2", "elinks", "browsh", "carbonyl", "www-browser"}

// canOpen is CanOpen with the environment and the PATH as functions.
func canOpen(getenv func(string) string, lookPath func(string) (string, error)) bool {
	isSet := func(name string) bool { return getenv(name) != "" }
	exists := func(name string) bool {
		_, err := lookPath(name)
		return err == nil
	}
	return (slices.ContainsFunc([]string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "WSL_INTEROP"}, isSet) || isGraphical(getenv("BROWSER"))) &&
		(exists("xdg-open") || exists("x-www-browser")) // not www-browser, which pkg/browser tries last: it is a text browser
}

// isGraphical reports whether the first command in $BROWSER, a list separated by colons, needs no terminal.
func isGraphical(browser string) bool {
	first, _, _ := strings.Cut(browser, ":")
	fields := strings.Fields(first)
	return len(fields) > 0 && !slices.Contains(textBrowsers, filepath.Base(fields[0]))
}
