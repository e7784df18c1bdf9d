package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	reset  = "\x1b[0m"
)

func (t *Text) colorText(color, s string) string {
	if !t.io.Color || color == "" || s == "" {
		return s
	}
	return color + s + reset
}

func (t *Text) chooseMark(unicode, ascii string) string { return choose(t.io.Unicode, unicode, ascii) }

// choose returns the text for a terminal with or without Unicode.
func choose(hasUnicode bool, unicode, ascii string) string {
	if hasUnicode {
		return unicode
	}
	return ascii
}

// finishStep prints a finished step with its duration.
func (t *Text) finishStep(step string, at time.Time, s string) {
	t.dropPending(step)
	t.printWithTail(t.chooseMark("✓", "*"), green, s, Duration(at.Sub(t.stepStart(step, at))))
}

// doneEarlier prints a step that was finished before this process began. Its duration is not known.
func (t *Text) doneEarlier(step, s string) {
	t.dropPending(step)
	t.printLine(t.chooseMark("✓", "*"), green, s)
}

// dropPending removes a step from those that the session waits for.
func (t *Text) dropPending(step string) {
	t.pending = slices.DeleteFunc(t.pending, func(p pending) bool { return p.step == step })
}

// printLine prints a permanent line above the waiting line.
func (t *Text) printLine(mark, color, s string) { t.printWithTail(mark, color, s, "") }

// printWithTail is printLine with a less important tail behind s.
func (t *Text) printWithTail(mark, color, s, tail string) {
	lines := t.io.wrapHanging(mark+" "+s, tail)
	lines[0] = t.colorText(color, mark) + strings.TrimPrefix(lines[0], mark)
	if last := len(lines) - 1; tail != "" {
		lines[last] = strings.TrimSuffix(lines[last], tail) + t.colorText(dim, tail)
	}
	t.eraseTransient()
	for _, l := range lines {
		t.writeLine(l)
	}
	t.drawTransient()
}

// writeLine writes a permanent line. The waiting line must have been erased.
func (t *Text) writeLine(s string) { fmt.Fprintln(t.io.Err, s) }

// setPending shows what the session has waited for since a time. If lines cannot be rewritten, it prints a
// line, but only if worth is true and the line is new.
func (t *Text) setPending(step string, since time.Time, s string, worth bool) {
	t.since[step] = since
	if i := slices.IndexFunc(t.pending, func(p pending) bool { return p.step == step }); i >= 0 {
		t.pending[i].text = s
	} else {
		t.pending = append(t.pending, pending{step, s})
	}
	t.drawTransient()
	if !t.io.Rewrite && worth && s != t.lastPrinted {
		t.lastPrinted = s
		fmt.Fprintln(t.io.Err, t.chooseMark("…", "-"), s)
	}
}

// drawTransient writes the waiting line or the block of the live view.
func (t *Text) drawTransient() {
	if t.view != nil {
		t.view.draw()
		return
	}
	if !t.io.Rewrite || len(t.pending) == 0 {
		return
	}
	line := t.chooseMark("…", "-") + " " + t.pending[len(t.pending)-1].text
	line = truncateText(line, t.io.Width()-1, "") // a wrapped line could not be erased
	if line == t.waiting {
		return
	}
	t.eraseTransient()
	fmt.Fprint(t.io.Err, line)
	t.waiting = line
}

// eraseTransient erases what drawTransient wrote.
func (t *Text) eraseTransient() {
	if t.view != nil {
		t.view.footer.erase()
		return
	}
	if t.waiting != "" {
		fmt.Fprint(t.io.Err, "\r\x1b[K")
		t.waiting = ""
	}
}

func (t *Text) stepStart(step string, otherwise time.Time) time.Time {
	if b, ok := t.since[step]; ok {
		return b
	}
	return otherwise
}

// flush writes the buffered output of the live view to the terminal.
func (t *Text) flush() {
	if t.view != nil {
		t.view.footer.flush()
	}
}

// At formats a time of day for a sentence: "at 14:05", "on Mon 2 Jan 14:05".
func At(when, now time.Time) string {
	if sameDay(when, now) {
		return "at " + formatTime(when, now)
	}
	return "on " + formatTime(when, now)
}

func formatTime(at, now time.Time) string {
	switch {
	case sameDay(at, now):
		return at.Local().Format("15:04")
	case at.Local().Year() != now.Local().Year():
		return at.Local().Format("Mon 2 Jan 2006 15:04")
	}
	return at.Local().Format("Mon 2 Jan 15:04")
}

func sameDay(at, now time.Time) bool {
	return at.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly)
}

// Duration formats a duration for users, rounded down.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0.0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}
