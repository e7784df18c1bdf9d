package ui

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/session"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// dial is a gauge that a test turns.
type dial struct {
	mu      sync.Mutex
	reading session.Snapshot
}

func (d *dial) Read() session.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reading
}

func (d *dial) turn(r session.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reading = r
}

// play plays a session's life in the bubble's time, and shows each screen that it passes.
func play(io *IO, gauge *dial, show func(name string)) {
	time.Local = time.UTC
	p := NewText(io, false)
	stop := p.Live(Live{Gauge: gauge})
	pass := func(d time.Duration) {
		time.Sleep(d) //nolint:forbidigo // of the bubble's time
		synctest.Wait()
	}
	event := func(e session.Event) {
		e.Session, e.Time = "abcd2345", time.Now().UTC()
		p.Event(e)
	}
	at := func(d time.Duration) *time.Time { t := time.Now().Add(d).UTC(); return &t }
	code := 0

	event(session.Event{Event: session.EventConnecting, Host: "ela"})
	pass(300 * time.Millisecond)
	event(session.Event{Event: session.EventConnected, Host: "ela"})
	event(session.Event{Event: session.EventConnecting, Host: "daint"})
	pass(2500 * time.Millisecond)
	show("connecting")
	event(session.Event{Event: session.EventConnected, Host: "daint"})
	event(session.Event{Event: session.EventQueued, Job: "4270667", Reason: "other jobs come first", Start: at(40 * time.Minute), Kept: true,
		Local: "http://127.0.0.1:8888/lab", Link: "http://127.0.0.1:8888/lab?token=" + secret})
	pass(7 * time.Minute)
	show("queued")
	event(session.Event{Event: session.EventGranted, Job: "4270667", Node: "nid006554", Nodes: []string{"nid006554", "nid006555"},
		Partition: "normal", Account: "g110", Begins: at(0), Ends: at(time.Hour),
		Local: "http://127.0.0.1:8888/lab", Link: "http://127.0.0.1:8888/lab?token=" + secret})
	pass(time.Second)
	event(session.Event{Event: session.EventStarted, Node: "nid006554", PID: 7})
	pass(4 * time.Second)
	show("starting")
	event(session.Event{Event: session.EventReady, URL: "http://127.0.0.1:8888/lab", Link: "http://127.0.0.1:8888/lab?token=" + secret,
		LocalPort: 8888, Remote: "127.0.0.1:4567", On: "nid006554"})
	pass(10 * time.Second)
	gauge.turn(session.Snapshot{Open: 4, Held: 1, Received: 2_410_000, Sent: 31_000, RTT: 21400 * time.Microsecond})
	pass(20 * time.Minute)
	show("ready")
	event(session.Event{Event: session.EventForward, URL: "http://127.0.0.1:8787/", LocalPort: 8787, Remote: "127.0.0.1:8787", On: "nid006554"})
	event(session.Event{Event: session.EventLost, Host: "ela", Message: "it does not answer"})
	pass(12 * time.Second)
	show("lost")
	event(session.Event{Event: session.EventRestored, Host: "ela"})
	pass(34 * time.Minute)
	event(session.Event{Event: session.EventWarning, Ends: at(5 * time.Minute),
		Message: "job 4270667 reaches its time limit in 5 min, and the server ends with it: save your work"})
	pass(time.Minute)
	show("warned")
	event(session.Event{Event: session.EventEnding, Reason: "interrupted"})
	pass(3 * time.Second)
	show("ending")
	event(session.Event{Event: session.EventEnded, Reason: "ended as asked: job 4270667 is gone", Code: &code})
	stop()
	show("ended")
}

// TestLiveScreens holds what is seen, scrollback and all, at several widths against
// testdata/live-*.txt; go test -run Screens -update ./internal/ui writes them anew.
func TestLiveScreens(t *testing.T) {
	for _, tt := range []struct {
		name    string
		w, h    int
		unicode bool
	}{
		{"live-100", 100, 24, true},
		{"live-60", 60, 24, true},
		{"live-40", 40, 24, true},
		{"live-20", 20, 24, true},
		{"live-low", 60, 5, true},
		{"live-ascii", 80, 24, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScreen(tt.w, tt.h)
				var got strings.Builder
				io := &IO{Out: s, Err: s, OutTTY: true, ErrTTY: true, Rewrite: true, Color: true, Unicode: tt.unicode,
					Width: func() int { return tt.w }, Height: func() int { return tt.h }}
				play(io, &dial{}, func(name string) {
					fmt.Fprintf(&got, "── %s ──\n%s", name, s.text())
				})
				if len(s.odd) > 0 {
					t.Errorf("sequences that not every terminal may know: %q", s.odd)
				}
				file := filepath.Join("testdata", tt.name+".txt")
				if *update {
					if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got.String()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// What is left on the screen is what is printed where nothing can be rewritten, but for the
// lines that only said what was being waited for: nothing is lost, nothing comes twice.
func TestLiveLeavesTheLines(t *testing.T) {
	lines := func(rewrite bool) (got []string) {
		synctest.Test(t, func(*testing.T) {
			s := newScreen(200, 6) // low: most of it scrolls away
			io := &IO{Out: s, Err: s, OutTTY: true, ErrTTY: true, Rewrite: rewrite, Width: func() int { return 200 }, Height: func() int { return 6 }}
			play(io, &dial{}, func(string) {})
			got = slices.DeleteFunc(strings.Split(strings.TrimSpace(s.text()), "\n"),
				func(l string) bool { return strings.HasPrefix(l, "- ") || l == "Ctrl-C ends it" })
		})
		return got
	}
	if diff := cmp.Diff(lines(false), lines(true)); diff != "" {
		t.Error(diff)
	}
}

// pieces counts what is written at a time.
type pieces struct {
	mu     sync.Mutex
	writes []string
}

func (p *pieces) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes = append(p.writes, string(b))
	return len(b), nil
}

// take is what was written since the last time.
func (p *pieces) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.writes
	p.writes = nil
	return w
}

// A terminal that is narrower already than it says, as while its window is dragged, keeps nothing of
// what stood there.
func TestLiveOnANarrowerScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(20, 24)
		var said atomic.Int64
		said.Store(60)
		io := &IO{Out: s, Err: s, OutTTY: true, ErrTTY: true, Rewrite: true, Unicode: true, Width: func() int { return int(said.Load()) }}
		p := NewText(io, false)
		stop := p.Live(Live{Gauge: &dial{}})
		p.Event(session.Event{Event: session.EventConnecting, Time: time.Now(), Host: "a-host-with-a-long-name"})
		p.Event(session.Event{Event: session.EventQueued, Time: time.Now(), Job: "1", Reason: "other jobs come first", Local: "http://127.0.0.1:8888/lab"})
		said.Store(20)
		time.Sleep(3 * time.Second) //nolint:forbidigo // of the bubble's time
		synctest.Wait()
		if got := s.text(); strings.Count(got, "job 1") != 1 {
			t.Errorf("there stands\n%s", got)
		}
		stop()
		if got := s.text(); got != "\n" {
			t.Errorf("in the end there is left\n%s", got)
		}
	})
}

// A change is one write, in which nothing is erased that is written again; and where nothing
// changes, nothing is written.
func TestLiveIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Local = time.UTC
		var out pieces
		io := &IO{Out: &bytes.Buffer{}, Err: &out, ErrTTY: true, Rewrite: true, Width: func() int { return 80 }}
		p, gauge := NewText(io, false), &dial{}
		stop := p.Live(Live{Gauge: gauge})
		defer stop()
		ends := time.Now().Add(30 * time.Minute)
		p.Event(session.Event{Event: session.EventGranted, Time: time.Now(), Job: "1", Node: "nid1", Ends: &ends})
		p.Event(session.Event{Event: session.EventReady, Time: time.Now(), URL: "http://127.0.0.1:1/"})
		out.take()
		time.Sleep(10*time.Minute + time.Millisecond) //nolint:forbidigo // of the bubble's time
		synctest.Wait()
		writes := out.take()
		if n := len(writes); n < 10 || n > 20 {
			t.Errorf("%d writes in ten minutes, in each of which the number and the bar change once", n)
		}
		for _, s := range writes {
			if strings.Contains(s, "\x1b[K\x1b[C\x1b[J") || !strings.HasPrefix(s, "\x1b[?2026h") {
				t.Errorf("a change that could flicker: %q", s)
			}
		}
		p.Event(session.Event{Event: session.EventWarning, Time: time.Now(), Message: "beware"})
		if w := out.take(); len(w) != 1 {
			t.Errorf("a warning is %d writes: %q", len(w), w)
		}
	})
}

// Held, the view leaves the screen to whoever asks something there.
func TestLiveHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(60, 24)
		io := &IO{Out: s, Err: s, OutTTY: true, ErrTTY: true, Rewrite: true, Width: func() int { return 60 }}
		p := NewText(io, false)
		stop := p.Live(Live{})
		p.Event(session.Event{Event: session.EventConnecting, Time: time.Now(), Host: "ela"})
		if got := s.text(); !strings.Contains(got, "connecting to ela") || !strings.Contains(got, "Ctrl-C") {
			t.Errorf("before: %q", got)
		}
		release := p.Hold()
		if got := s.text(); got != "\n" {
			t.Errorf("while somebody is asked, there stands %q", got)
		}
		fmt.Fprint(s, "Are you sure? yes\n")
		// Less than it takes until the view wants to look again: a bubble's time does not go on
		// while somebody waits for a lock.
		time.Sleep(900 * time.Millisecond) //nolint:forbidigo // of the bubble's time
		if got := s.text(); got != "Are you sure? yes\n" {
			t.Errorf("while somebody is asked, there stands %q", got)
		}
		release()
		time.Sleep(4100 * time.Millisecond) //nolint:forbidigo // of the bubble's time
		synctest.Wait()
		if got := s.text(); !strings.HasPrefix(got, "Are you sure? yes\n- connecting to ela 4 s\n") { // without the time of the answer
			t.Errorf("afterwards: %q", got)
		}
		stop()
		if got := s.text(); got != "Are you sure? yes\n" {
			t.Errorf("in the end: %q", got)
		}
	})
}

// Without a terminal that can take lines back there is no view, only the lines.
func TestLiveNeedsATerminal(t *testing.T) {
	io, _, errs := testIO(false, false)
	p := NewText(io, false)
	defer p.Live(Live{})()
	p.Event(session.Event{Event: session.EventConnected, Time: noon, Host: "ela"})
	if got := errs.String(); got != "* ela connected 0.0 s\n" {
		t.Errorf("%q", got)
	}
}

func TestIsCI(t *testing.T) {
	for value, want := range map[string]bool{"": false, "true": true, "1": true, "false": false, "0": false, "woodpecker": true} {
		if got := isCI(value); got != want {
			t.Errorf("CI=%s: %v", value, got)
		}
	}
}
