// Package notify shows a notification on the user's desktop: over D-Bus on Linux and the BSDs, by
// osascript on macOS. It prints nothing and ends with its context. On Windows it does nothing: a
// program would have to register first or start PowerShell. There the line on the terminal must be enough.
package notify

import (
	"context"
	"errors"
	"strings"
	"unicode"
)

// ErrNoDesktop reports that no desktop can show a notification.
var ErrNoDesktop = errors.New("show notification: there is no desktop that does that")

// Show shows a title and a text. Other people may see them on a shared screen, and on macOS another
// program gets them.
func Show(ctx context.Context, title, text string) error {
	return showNotification(ctx, plainText(title), plainText(text))
}

// plainText replaces unprintable characters, and those of markup, which only some desktops interpret.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '<' || r == '>' || r == '&' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
