package ui

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/session"
)

// Live has what the live view of a session needs, and the functions of its keys. A key whose function is nil
// does not exist.
type Live struct {
	Keys  *Prompter // the terminal; nil: no keys
	Gauge interface{ Read() session.Snapshot }

	Open   func(ctx context.Context, link string) error  // opens the link in a browser
	Log    func(ctx context.Context, to io.Writer) error // shows the server's log until ctx ends
	Detach func()                                        // leaves the session running

	// Suspend is called before Ctrl-Z stops the process, which waits until it returns. nil: nothing is called.
	Suspend func()

	Stays bool // Ctrl-C leaves the session running
}

// view is the live view of a session: the lines of Text, and below them a block with the state, the times and
// the keys. The lock of Text protects it.
type view struct {
	Live
	text         *Text
	keyboard     *keyboard // nil: no keys
	footer       footer
	status       status
	helpShown    bool
	inBackground bool               // another process group has the terminal
	stopLog      context.CancelFunc // ends the log that is shown; nil: none

	pressed chan byte
	ctx     context.Context // context of the keys' actions
	tasks   conc.WaitGroup
}

// Live makes t the live view of a session, until the caller calls stop. It does nothing unless lines on the
// terminal can be rewritten. The session must not have begun.
func (t *Text) Live(l Live) (stop func()) {
	if !t.io.Rewrite {
		return func() {}
	}
	t.mu.Lock()
	t.eraseTransient()
	ctx, cancel := context.WithCancel(context.Background())
	v := &view{Live: l, text: t, pressed: make(chan byte, 8), ctx: ctx}
	plain := t.io
	v.footer.terminal = plain.Err
	buffered := *plain
	buffered.Err = &v.footer
	if plain.OutTTY {
		buffered.Out = unbufferedWriter{&v.footer, plain.Out}
	}
	t.io, t.view = &buffered, v
	if l.Keys != nil {
		v.keyboard = &keyboard{tty: l.Keys.in}
		watch := v.keyboard.watchTerminal(ctx, v.refreshView)
		v.tasks.Go(watch)
	}
	v.tasks.Go(v.run)
	v.updateForeground()
	t.drawTransient()
	v.footer.flush()
	t.mu.Unlock()
	return func() {
		cancel()
		v.tasks.Wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		v.releaseKeys()
		v.footer.erase()
		v.footer.flush()
		t.io, t.view = plain, nil
	}
}

// run redraws the view once a second and handles the keys, until ctx ends.
func (v *view) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-tick.C:
			v.refreshView()
		case k := <-v.pressed:
			if k == ctrlZ {
				v.releaseAndSuspend()
			} else {
				v.handleKey(k)
			}
		}
	}
}

// refreshView checks whether this process is in the foreground, and redraws the view.
func (v *view) refreshView() {
	v.text.mu.Lock()
	defer v.text.mu.Unlock()
	v.updateForeground()
	v.draw()
	v.footer.flush()
}

// releaseAndSuspend restores the terminal and stops this process. After that, or if no shell could continue it,
// the next refreshView takes the terminal again.
func (v *view) releaseAndSuspend() {
	v.text.mu.Lock()
	defer v.text.mu.Unlock()
	v.inBackground = true
	v.draw()
	v.footer.flush()
	v.releaseKeys()
	if v.Suspend != nil {
		v.Suspend()
	}
	suspendProcess()
}

// updateForeground enables the keys if this process is in the foreground. Otherwise it releases keys and
// screen.
func (v *view) updateForeground() {
	if v.keyboard == nil {
		return
	}
	if v.inBackground = !v.keyboard.isForeground(); v.inBackground {
		v.keyboard.enabled = false // the terminal's mode is not ours to restore
		v.Keys.typed.watchKeys(nil)
		v.footer.rows = nil // the shell may have overwritten them
		return
	}
	if !v.keyboard.enabled && v.keyboard.enable() {
		v.Keys.typed.watchKeys(v.queueKeys)
	}
}

// releaseKeys disables the keys and restores the terminal's mode.
func (v *view) releaseKeys() {
	if v.keyboard != nil {
		v.Keys.typed.watchKeys(nil)
		v.keyboard.disable()
	}
}

// queueKeys queues the keys of one read. Keys arrive one at a time, or a few if this process was slow. More
// than three bytes are pasted text. Escape and further bytes are the sequence of another key. Both are ignored.
func (v *view) queueKeys(b []byte) {
	if len(b) > 3 || len(b) > 1 && b[0] == 0x1b {
		return
	}
	for _, k := range b {
		select {
		case v.pressed <- k:
		default: // faster than a user types
		}
	}
}

// draw updates the block to what is true now. The caller holds the lock.
func (v *view) draw() {
	if v.inBackground || v.status.Ended != nil {
		v.footer.erase()
		return
	}
	t := v.text
	w, h := t.io.terminalSize()
	l := renderInput{w: w - 1, unicode: t.io.Unicode, now: t.now()}
	if !v.status.IsEnding() {
		l.keys = v.keyHints()
	}
	for _, p := range t.pending {
		line := t.chooseMark("…", "-") + " " + p.text
		if d := l.now.Sub(t.stepStart(p.step, l.now)); d >= time.Second {
			line += " " + formatElapsed(d)
		}
		l.pending = append(l.pending, line)
	}
	if v.Gauge != nil {
		l.gauge, l.gauged = v.Gauge.Read(), true
	}
	if v.helpShown {
		l.help = v.helpLines()
	}
	var rows []string
	for _, r := range limitRows(v.status.buildRows(l), h-1) {
		rows = append(rows, t.colorText(r.paint, r.fitWidth(l.w, choose(l.unicode, "…", "..."))))
	}
	v.footer.draw(rows, w, h)
}

// formatElapsed formats a running time, to the second.
func formatElapsed(d time.Duration) string {
	if d < time.Minute {
		return strconv.Itoa(int(d.Seconds())) + " s"
	}
	return Duration(d)
}

// keyHints returns the row of keys, in three lengths.
func (v *view) keyHints() []string {
	type key struct{ name, does string }
	var keys []key
	if v.keyboard != nil && v.keyboard.enabled {
		if v.Open != nil && v.status.hasPage() {
			keys = append(keys, key{"o", "open"})
		}
		if v.Log != nil && v.status.IsServing() {
			what := "log"
			if v.stopLog != nil {
				what = "no log"
			}
			keys = append(keys, key{"l", what})
		}
		if v.Detach != nil && v.status.Kept {
			keys = append(keys, key{"d", "detach"})
		}
		keys = append(keys, key{"?", "help"})
	}
	stop := key{"Ctrl-C", "stop"}
	if v.Stays {
		stop.does = "detach"
	}
	dot := v.text.chooseMark(" · ", ", ")
	var long, short, names []string
	for _, k := range append(keys, stop) {
		long, names = append(long, k.name+" "+k.does), append(names, k.name)
	}
	short = append(names[:len(names)-1:len(names)-1], stop.name+" "+stop.does)
	return []string{strings.Join(long, dot), strings.Join(short, " "), strings.Join(names, " ")}
}

// helpLines says what the keys do.
func (v *view) helpLines() []string {
	id := Clean(v.status.Session)
	var lines []string
	if v.Open != nil {
		lines = append(lines, "o: open it in the browser again")
	}
	if v.Log != nil {
		lines = append(lines, "l: show or hide the server's log")
	}
	if v.Detach != nil {
		lines = append(lines, "d: keep the job running without this terminal; return with cscs attach "+id)
	}
	if v.Stays {
		return append(lines, "Ctrl-C: likewise; cscs stop "+id+" ends it")
	}
	return append(lines, "Ctrl-C: stop the job. Twice: don't wait for the server. Three times: quit now; something may stay behind")
}

// handleKey does what the key k is for.
func (v *view) handleKey(k byte) {
	v.text.mu.Lock()
	defer v.text.mu.Unlock()
	switch {
	case k == '?' || k == 'h':
		v.helpShown = !v.helpShown
	case k == 0x1b || k == 'q':
		v.helpShown = false
	case k == 'o' && v.Open != nil && v.status.hasPage():
		link := v.status.Link
		v.tasks.Go(func() {
			if err := v.Open(v.ctx, link); err != nil && v.ctx.Err() == nil {
				v.text.printWarning(fmt.Errorf("%w: open %s yourself", err, link)) // a terminal may show the link
			}
		})
	case k == 'l' && v.Log != nil && v.status.IsServing():
		v.toggleLog()
	case k == 'd' && v.Detach != nil && v.status.Kept:
		v.Detach()
	}
	v.draw()
	v.footer.flush()
}

// toggleLog starts or stops the display of the server's log. The caller holds the lock.
func (v *view) toggleLog() {
	if v.stopLog != nil {
		v.stopLog()
		v.stopLog = nil
		return
	}
	ctx, cancel := context.WithCancel(v.ctx)
	v.stopLog = cancel
	v.tasks.Go(func() {
		defer cancel()
		err := v.Log(ctx, &logLines{show: v.text.printLogLines})
		if ctx.Err() != nil {
			return // the user stopped it
		}
		if err != nil {
			v.text.printWarning(err)
		}
		v.text.mu.Lock()
		v.stopLog = nil
		v.text.mu.Unlock()
	})
}
