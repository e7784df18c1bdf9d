// Package notify shows a line on the user's desktop, where there is one that
// does that: over D-Bus on Linux and the BSDs, by osascript on macOS. It
// prints nothing, and never takes longer than its context. Windows has no
// way that neither registers the program first nor starts PowerShell; there
// the line on the terminal has to do.
package notify

import (
	"context"
	"errors"
	"strings"
	"unicode"
)

// ErrNoDesktop tells that there is nobody who could show anything.
var ErrNoDesktop = errors.New("show notification: there is no desktop that does that")

// Show shows a title and a text. They are for everybody to see: a screen may be
// shared, and on macOS another program is given them.
func Show(ctx context.Context, title, text string) error {
	return showNotification(ctx, plainText(title), plainText(text))
}

// plainText leaves out what could be taken for markup, which some desktops know in
// a text and others show as it is, and what is not to be printed.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == '&' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
