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

// Live is what the live view of a session needs to know, and what its keys do; a key
// whose function is nil is not there.
type Live struct {
	Keys  *Prompter // the terminal; nil: there are no keys
	Gauge interface{ Read() session.Reading }

	Open   func(ctx context.Context, link string) error  // opens the link in a browser
	Log    func(ctx context.Context, to io.Writer) error // shows what the server writes, until ctx ends
	Detach func()                                        // leaves the session running

	// Suspend is called before Ctrl-Z stops the program, which waits for it; nil: nothing is.
	Suspend func()

	Stays bool // Ctrl-C leaves the session running
}

// view is the live view of a session: Text's lines, and below them what stands, with the
// time that goes by, and keys. Text's lock is its own.
type view struct {
	Live
	text     *Text
	board    *keyboard // nil: there are no keys
	standing standing
	status   status
	helping  bool
	away     bool               // in the background: the screen is another's
	unlog    context.CancelFunc // ends the log that is being shown; nil: none is

	pressed chan byte
	ctx     context.Context // of what the keys do
	tasks   conc.WaitGroup
}

// Live makes t the live view of a session, until stop is called, if it is on a terminal
// that can take lines back. It is for a session that is about to begin.
func (t *Text) Live(l Live) (stop func()) {
	if !t.io.Rewrite {
		return func() {}
	}
	t.mu.Lock()
	t.clear()
	ctx, cancel := context.WithCancel(context.Background())
	v := &view{Live: l, text: t, pressed: make(chan byte, 8), ctx: ctx}
	plain := t.io
	v.standing.terminal = plain.Err
	buffered := *plain
	buffered.Err = &v.standing
	if plain.OutTTY {
		buffered.Out = through{&v.standing, plain.Out}
	}
	t.io, t.view = &buffered, v
	if l.Keys != nil {
		v.board = &keyboard{tty: l.Keys.in}
		attend := v.board.attend(ctx, v.look)
		v.tasks.Go(attend)
	}
	v.tasks.Go(v.run)
	v.settle()
	t.show()
	v.standing.flush()
	t.mu.Unlock()
	return func() {
		cancel()
		v.tasks.Wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		v.quiet()
		v.standing.erase()
		v.standing.flush()
		t.io, t.view = plain, nil
	}
}

// run lets the time go by and does what the keys say.
func (v *view) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-tick.C:
			v.look()
		case k := <-v.pressed:
			if k == ctrlZ {
				v.leave()
			} else {
				v.press(k)
			}
		}
	}
}

// look sees whether the screen is still ours, and draws what has changed.
func (v *view) look() {
	v.text.mu.Lock()
	defer v.text.mu.Unlock()
	v.settle()
	v.draw()
	v.standing.flush()
}

// leave gives the terminal back and stops this process. When that goes on, or if nobody
// could continue it, the next look takes the terminal again.
func (v *view) leave() {
	v.text.mu.Lock()
	defer v.text.mu.Unlock()
	v.away = true
	v.draw()
	v.standing.flush()
	v.quiet()
	if v.Suspend != nil {
		v.Suspend()
	}
	suspend()
}

// settle takes the keys if the screen is ours, and lets go of both if it is not.
func (v *view) settle() {
	if v.board == nil {
		return
	}
	if v.away = !v.board.foreground(); v.away {
		v.board.forget()
		v.Keys.typed.watch(nil)
		v.standing.rows = nil // what stood there is the shell's business
		return
	}
	if v.board.on() {
		return
	}
	if v.board.enable() {
		v.Keys.typed.watch(v.typed)
	}
}

// quiet lets go of the keys.
func (v *view) quiet() {
	if v.board != nil {
		v.Keys.typed.watch(nil)
		v.board.disable()
	}
}

// typed is told what was typed. Keys come one at a time, or a few where this process was not
// quick: what comes as a longer piece was pasted, and an escape begins the sequence of a key
// that means nothing here.
func (v *view) typed(b []byte) {
	if len(b) > 3 || len(b) > 1 && b[0] == 0x1b {
		return
	}
	for _, k := range b {
		select {
		case v.pressed <- k:
		default: // faster than a person types
		}
	}
}

// draw has all stand there that is to be seen now.
func (v *view) draw() {
	if v.away || v.status.over {
		v.standing.erase()
		return
	}
	t := v.text
	w, h := t.io.size()
	l := look{w: w - 1, unicode: t.io.Unicode, now: t.now()}
	if !v.status.ending {
		l.keys = v.keys()
	}
	for _, p := range t.pending {
		line := t.mark("…", "-") + " " + p.text
		if d := l.now.Sub(t.begin(p.step, l.now)); d >= time.Second {
			line += " " + passing(d)
		}
		l.pending = append(l.pending, line)
	}
	if v.Gauge != nil {
		l.gauge, l.gauged = v.Gauge.Read(), true
	}
	if v.helping {
		l.help = v.help()
	}
	var rows []string
	for _, r := range lower(v.status.rows(l), h-1) {
		rows = append(rows, t.paint(r.paint, r.fit(l.w, l.ellipsis())))
	}
	v.standing.draw(rows, w, h)
}

// passing is a time that goes by, to the second.
func passing(d time.Duration) string {
	if d < time.Minute {
		return strconv.Itoa(int(d.Seconds())) + " s"
	}
	return Duration(d)
}

// keys is the row of keys.
func (v *view) keys() []string {
	type key struct{ name, does string }
	var keys []key
	if v.board != nil && v.board.on() {
		if v.Open != nil && v.status.answers() {
			keys = append(keys, key{"o", "open"})
		}
		if v.Log != nil && v.status.ready {
			what := "log"
			if v.unlog != nil {
				what = "no log"
			}
			keys = append(keys, key{"l", what})
		}
		if v.Detach != nil && v.status.kept {
			keys = append(keys, key{"d", "detach"})
		}
		keys = append(keys, key{"?", "help"})
	}
	stop := key{"Ctrl-C", "stop"}
	if v.Stays {
		stop.does = "detach"
	}
	dot := look{unicode: v.text.io.Unicode}.dot()
	var long, short, names []string
	for _, k := range append(keys, stop) {
		long, names = append(long, k.name+" "+k.does), append(names, k.name)
	}
	short = append(names[:len(names)-1:len(names)-1], stop.name+" "+stop.does)
	return []string{strings.Join(long, dot), strings.Join(short, " "), strings.Join(names, " ")}
}

// help says what the keys do.
func (v *view) help() []string {
	id := Clean(v.status.id)
	var lines []string
	if v.Open != nil {
		lines = append(lines, "o: opens it in the browser again")
	}
	if v.Log != nil {
		lines = append(lines, "l: shows what the server writes; again: no more")
	}
	if v.Detach != nil {
		lines = append(lines, "d: leaves it running without this terminal: cscs attach "+id+" picks it up")
	}
	if v.Stays {
		return append(lines, "Ctrl-C: likewise; cscs stop "+id+" ends it")
	}
	return append(lines, "Ctrl-C: ends it; again: without grace; a third time: at once, whatever may be left")
}

// press does what a key says.
func (v *view) press(k byte) {
	v.text.mu.Lock()
	defer v.text.mu.Unlock()
	switch {
	case k == '?' || k == 'h':
		v.helping = !v.helping
	case k == 0x1b || k == 'q':
		v.helping = false
	case k == 'o' && v.Open != nil && v.status.answers():
		link := v.status.link
		v.tasks.Go(func() {
			if err := v.Open(v.ctx, link); err != nil && v.ctx.Err() == nil {
				v.text.complain(fmt.Errorf("%w: open %s yourself", err, link)) // this is a terminal
			}
		})
	case k == 'l' && v.Log != nil && v.status.ready:
		v.toggleLog()
	case k == 'd' && v.Detach != nil && v.status.kept:
		v.Detach()
	}
	v.draw()
	v.standing.flush()
}

// toggleLog begins to show what the server writes, or ends it.
func (v *view) toggleLog() {
	if v.unlog != nil {
		v.unlog()
		v.unlog = nil
		return
	}
	ctx, cancel := context.WithCancel(v.ctx)
	v.unlog = cancel
	v.tasks.Go(func() {
		defer cancel()
		err := v.Log(ctx, &logLines{show: v.text.log})
		if ctx.Err() != nil {
			return // as asked
		}
		if err != nil {
			v.text.complain(err)
		}
		v.text.mu.Lock()
		v.unlog = nil
		v.text.mu.Unlock()
	})
}
