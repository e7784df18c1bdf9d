//go:build !windows

package ui

import "os"

func openTerminal() (in, out *os.File, err error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return tty, tty, err
}

// enableEscapes reports whether f takes escape sequences.
func enableEscapes(*os.File) bool { return true }
