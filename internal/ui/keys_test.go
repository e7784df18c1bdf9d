//go:build linux

package ui

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/alps-tunnel/cscs/session"
)

// A desk is a live view on a terminal of its own, whose keys a test presses.
type desk struct {
	t      *testing.T
	keys   *os.File // the other end of the terminal
	tty    *os.File
	ask    *Prompter
	text   *Text
	opened chan string
	left   chan struct{}
	stop   func()

	mu     sync.Mutex
	screen *screen
	wrote  chan struct{}
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, keys: keys, tty: tty, opened: make(chan string, 1), left: make(chan struct{}, 1), screen: newScreen(100, 24), wrote: make(chan struct{}, 1)}
	in := newTyped(tty)
	d.ask = &Prompter{in: tty, out: tty, typed: in}
	d.text = NewText(&IO{Out: io.Discard, Err: d, ErrTTY: true, Rewrite: true, Width: func() int { return 100 }}, false)
	stop := d.text.Live(Live{
		Keys: d.ask, Gauge: &dial{},
		Open:   func(_ context.Context, link string) error { d.opened <- link; return errors.New("no browser here") },
		Detach: func() { d.left <- struct{}{} },
		Log: func(ctx context.Context, to io.Writer) error {
			_, _ = io.WriteString(to, "one\ntwo\nthr")
			<-ctx.Done()
			return ctx.Err()
		},
	})
	d.stop = sync.OnceFunc(stop)
	t.Cleanup(func() {
		d.stop()
		_ = keys.Close() // what still reads from the terminal ends
		_ = tty.Close()
	})
	return d
}

// Write is the screen's.
func (d *desk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() {
		select {
		case d.wrote <- struct{}{}:
		default:
		}
	}()
	return d.screen.Write(p)
}

// await waits until the screen is as it should be.
func (d *desk) await(what string, is func(text string) bool) string {
	d.t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		d.mu.Lock()
		text := d.screen.text()
		d.mu.Unlock()
		if is(text) {
			return text
		}
		select {
		case <-d.wrote:
		case <-late.C:
			d.t.Fatalf("%s: %s", what, text)
		}
	}
}

func (d *desk) shows(word string) {
	d.t.Helper()
	d.await("never shown: "+word, func(s string) bool { return strings.Contains(s, word) })
}

func (d *desk) press(keys string) {
	d.t.Helper()
	if _, err := io.WriteString(d.keys, keys); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) modes() uint32 {
	d.t.Helper()
	m, err := unix.IoctlGetTermios(int(d.tty.Fd()), unix.TCGETS)
	if err != nil {
		d.t.Fatal(err)
	}
	return m.Lflag & (unix.ICANON | unix.ECHO | unix.ISIG)
}

func (d *desk) ready() {
	now := time.Now()
	d.text.Event(session.Event{Event: session.EventStarted, Session: "abcd2345", Time: now, Node: "nid1"})
	d.text.Event(session.Event{Event: session.EventReady, Session: "abcd2345", Time: now, URL: "http://127.0.0.1:1/", Link: "http://127.0.0.1:1/?token=" + secret})
}

// Each key does what the row says, and nothing before it is there.
func TestLiveKeys(t *testing.T) {
	d := newDesk(t)
	if got := d.modes(); got != unix.ISIG {
		t.Errorf("the terminal's modes are %b: Ctrl-C must stay a signal, and keys come at once and unseen", got)
	}
	d.shows("? help, Ctrl-C stop")
	d.press("o") // of nothing
	d.press("?")
	d.shows("Twice: don't wait for the server")
	d.press("?")
	d.await("help stays", func(s string) bool { return !strings.Contains(s, "Twice:") })
	d.text.Event(session.Event{Event: session.EventQueued, Session: "abcd2345", Time: time.Now(), Job: "1", Local: "http://127.0.0.1:1/", Link: "http://127.0.0.1:1/?room"})
	d.shows("in the browser: http://127.0.0.1:1/")
	d.shows("o open, ? help, Ctrl-C stop")
	d.press("o")
	if link := <-d.opened; link != "http://127.0.0.1:1/?room" {
		t.Errorf("opened %q in the queue", link)
	}
	d.ready()
	d.shows("o open, l log, d detach, ? help, Ctrl-C stop")
	d.press("o")
	if link := <-d.opened; link != "http://127.0.0.1:1/?token="+secret {
		t.Errorf("opened %q", link)
	}
	d.shows("! no browser here: open http://127.0.0.1:1/?token=" + secret + " yourself\n")
	d.press("l")
	d.shows("| one\n| two\n")
	d.shows("l no log")
	d.press("l")
	d.shows("l log")
	d.press("d")
	<-d.left
	d.stop()
	if got := d.modes(); got != unix.ISIG|unix.ICANON|unix.ECHO {
		t.Errorf("the terminal was left with the modes %b", got)
	}
}

// What is pasted is no key, nor is the sequence of one that means nothing here.
func TestLivePasted(t *testing.T) {
	for typed, want := range map[string]string{"d": "d", "od": "od", "\x1b": "\x1b", "\x1b[A": "", "\x1bOP": "", "detach\n": ""} {
		v := &view{pressed: make(chan byte, 8)}
		v.queueKeys([]byte(typed))
		close(v.pressed)
		got := ""
		for k := range v.pressed {
			got += string(rune(k))
		}
		if got != want {
			t.Errorf("%q is the keys %q", typed, got)
		}
	}
}

// What is typed while a question is asked is its answer, and no key.
func TestLiveKeysAndQuestions(t *testing.T) {
	d := newDesk(t)
	d.ready()
	d.shows("d detach")
	release := d.text.Hold()
	if got := d.modes(); got != unix.ISIG|unix.ICANON|unix.ECHO {
		t.Errorf("asked with the modes %b", got)
	}
	d.press("d\n")
	answer := make([]byte, 8)
	n, err := d.ask.typed.Read(answer)
	if err != nil || string(answer[:n]) != "d\n" {
		t.Errorf("answered %q, %v", answer[:n], err)
	}
	release()
	if len(d.left) > 0 {
		t.Error("an answer was taken for a key")
	}
	if got := d.modes(); got != unix.ISIG {
		t.Errorf("afterwards the modes are %b", got)
	}
	d.press("d")
	<-d.left
}
