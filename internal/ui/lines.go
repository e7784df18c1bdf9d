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

func (t *Text) paint(color, s string) string {
	if !t.io.Color || color == "" || s == "" {
		return s
	}
	return color + s + reset
}

func (t *Text) mark(unicode, ascii string) string {
	if t.io.Unicode {
		return unicode
	}
	return ascii
}

// done prints a step that is behind us, with the time that it took.
func (t *Text) done(step string, at time.Time, s string) {
	t.forget(step)
	t.entry(t.mark("✓", "*"), green, s, Duration(at.Sub(t.begin(step, at))))
}

// doneEarlier prints a step that was done before this process began: its time isn't known.
func (t *Text) doneEarlier(step, s string) {
	t.forget(step)
	t.line(t.mark("✓", "*"), green, s)
}

// forget stops waiting for a step.
func (t *Text) forget(step string) {
	t.pending = slices.DeleteFunc(t.pending, func(p pending) bool { return p.step == step })
}

// line prints a line for good, above that of what is waited for.
func (t *Text) line(mark, color, s string) { t.entry(mark, color, s, "") }

// entry is line with something less important behind it.
func (t *Text) entry(mark, color, s, tail string) {
	lines := t.io.hang(mark+" "+s, tail)
	lines[0] = t.paint(color, mark) + strings.TrimPrefix(lines[0], mark)
	if last := len(lines) - 1; tail != "" {
		lines[last] = strings.TrimSuffix(lines[last], tail) + t.paint(dim, tail)
	}
	t.clear()
	for _, l := range lines {
		t.print(l)
	}
	t.show()
}

// print writes a line for good, where nothing stands.
func (t *Text) print(s string) { fmt.Fprintln(t.io.Err, s) }

// wait tells what is being waited for since a time: in place if that can be done, else
// as a line of its own, if it is worth one and says something new.
func (t *Text) wait(step string, since time.Time, s string, worth bool) {
	t.since[step] = since
	if i := slices.IndexFunc(t.pending, func(p pending) bool { return p.step == step }); i >= 0 {
		t.pending[i].text = s
	} else {
		t.pending = append(t.pending, pending{step, s})
	}
	t.show()
	if !t.io.Rewrite && worth && s != t.told {
		t.told = s
		fmt.Fprintln(t.io.Err, t.mark("…", "-"), s)
	}
}

// show writes the waiting line, or what stands of the live view.
func (t *Text) show() {
	if t.view != nil {
		t.view.draw()
		return
	}
	if !t.io.Rewrite || len(t.pending) == 0 {
		return
	}
	line := t.mark("…", "-") + " " + t.pending[len(t.pending)-1].text
	line = cut(line, t.io.Width()-1, "") // a wrapped line could not be taken back
	if line == t.waiting {
		return
	}
	t.clear()
	fmt.Fprint(t.io.Err, line)
	t.waiting = line
}

// clear takes back what show has written.
func (t *Text) clear() {
	if t.view != nil {
		t.view.standing.erase()
		return
	}
	if t.waiting != "" {
		fmt.Fprint(t.io.Err, "\r\x1b[K")
		t.waiting = ""
	}
}

func (t *Text) begin(step string, otherwise time.Time) time.Time {
	if b, ok := t.since[step]; ok {
		return b
	}
	return otherwise
}

// flush brings to the terminal what the live view has gathered.
func (t *Text) flush() {
	if t.view != nil {
		t.view.standing.flush()
	}
}

// clock is a time of day, with the date if it is not today's.
func (t *Text) clock(when time.Time) string { return At(when, t.now()) }

// At is a time of day in a sentence: at 14:05, on Mon 2 Jan 14:05.
func At(when, now time.Time) string {
	if sameDay(when, now) {
		return "at " + clock(when, now)
	}
	return "on " + clock(when, now)
}

func clock(at, now time.Time) string {
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

// Duration is a time span as a person would say it, rounded down.
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
