package ui

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/session"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const secret = "s3cr3t"

// life is a whole session's, each event a second after the one before.
func life() []session.Event {
	start, ends, code := noon.Add(10*time.Minute), noon.Add(26*time.Hour), 0
	events := []session.Event{
		{Event: session.EventConnecting, Host: "ela"},
		{Event: session.EventConnected, Host: "ela"},
		{Event: session.EventConnecting, Host: "daint"},
		{Event: session.EventConnected, Host: "daint"},
		{Event: session.EventQueued, Job: "42", Reason: "it waits for \x1b[31mresources", Start: &start},
		{Event: session.EventQueued, Job: "42", Reason: "it waits for \x1b[31mresources", Start: &start},
		{Event: session.EventGranted, Job: "42", Node: "nid001001", Nodes: []string{"nid001001", "nid001002"}, Partition: "normal", Account: "g1", Ends: &ends},
		{Event: session.EventStarted, Node: "nid001001", PID: 7},
		{Event: session.EventReady, URL: "http://localhost:8888/lab", Link: "http://localhost:8888/lab?token=" + secret + "&x=<y>", LocalPort: 8888, Remote: "127.0.0.1:4567", On: "nid001001"},
		{Event: session.EventForward, URL: "http://127.0.0.1:8788/", LocalPort: 8788, Remote: "127.0.0.1:8787", On: "nid001001"},
		{Event: session.EventWarning, Message: "something\x07 odd"},
		{Event: session.EventEnding, Reason: "interrupted"},
		{Event: session.EventEnded, Reason: "ended as asked", Code: &code},
	}
	for i := range events {
		events[i].V, events[i].Session, events[i].Cluster = session.EventVersion, "abcd2345", "daint"
		events[i].Time = noon.Add(time.Duration(i) * time.Second)
	}
	return events
}

func testIO(out, err bool) (*IO, *bytes.Buffer, *bytes.Buffer) {
	var o, e bytes.Buffer
	return &IO{Out: &o, Err: &e, OutTTY: out, ErrTTY: err, Rewrite: err, Color: err, Unicode: err, Width: func() int { return 60 }}, &o, &e
}

func show(io *IO) {
	time.Local = time.UTC
	p := NewText(io, false)
	p.now = func() time.Time { return noon }
	for _, e := range life() {
		p.Event(e)
	}
}

// A job that is left goes on at once, or when it has started: its lease begins then.
func TestTextOfWhatIsLeft(t *testing.T) {
	for _, tt := range []struct {
		e    session.Event
		want string
	}{
		{session.Event{Lease: 120}, "detached: it goes on, for up to 2 min 00 s without anybody; pick"},
		{session.Event{}, "detached: it goes on until its time limit; pick"},
		{session.Event{Lease: 120, Kept: true}, "detached: it waits in the queue; once it has started, it goes on, for up to 2 min 00 s without anybody; pick"},
		{session.Event{Kept: true}, "detached: it waits in the queue; once it has started, it goes on until its time limit; pick"},
	} {
		io, _, errs := testIO(false, false)
		tt.e.Event, tt.e.Session = session.EventDetached, "abcd2345"
		NewText(io, false).Event(tt.e)
		if !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%+v: %q, want %q", tt.e, errs.String(), tt.want)
		}
	}
}

func TestTextIntoFiles(t *testing.T) {
	io, out, errs := testIO(false, false)
	show(io)
	if diff := cmp.Diff("http://localhost:8888/lab\n", out.String()); diff != "" {
		t.Error(diff)
	}
	want := `* ela connected 1.0 s
* daint connected 1.0 s
- job 42 is queued: it waits for resources, expected to start at 12:10
* job 42 granted: nid001001 and 1 more, partition normal, account g1, ends on Mon 23 Nov 14:00 3.0 s
* ready: localhost:8888 leads to 127.0.0.1:4567 on nid001001 8.0 s
* also: localhost:8788 leads to 127.0.0.1:8787 on nid001001: http://127.0.0.1:8788/
! something odd
- ending
* ended as asked
`
	if diff := cmp.Diff(want, errs.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTextOnATerminal(t *testing.T) {
	io, out, errs := testIO(true, true)
	show(io)
	if diff := cmp.Diff("http://localhost:8888/lab?token="+secret+"&x=<y>\n", out.String()); diff != "" {
		t.Error(diff)
	}
	// What is left on the screen when every line that was taken back is gone.
	var screen []string
	for line := range strings.Lines(errs.String()) {
		parts := strings.Split(line, "\r\x1b[K")
		for _, p := range parts[:len(parts)-1] {
			if n := len([]rune(p)); n >= 60 {
				t.Errorf("a waiting line of %d columns would wrap: %q", n, p)
			}
		}
		screen = append(screen, Clean(parts[len(parts)-1]))
	}
	want := []string{
		"✓ ela connected 1.0 s",
		"✓ daint connected 1.0 s",
		"✓ job 42 granted: nid001001 and 1 more, partition normal,", "account g1, ends on Mon 23 Nov 14:00 3.0 s",
		"✓ ready: localhost:8888 leads to 127.0.0.1:4567 on", "nid001001 8.0 s",
		"Ctrl-C ends it",
		"✓ also: localhost:8788 leads to 127.0.0.1:8787 on", "nid001001: http://127.0.0.1:8788/",
		"! something odd",
		"✓ ended as asked",
	}
	if diff := cmp.Diff(want, screen); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(errs.String(), "… job 42 is queued: it waits for resources") {
		t.Errorf("no waiting line in %q", errs)
	}
	if strings.Contains(errs.String(), secret) {
		t.Error("the link was printed twice")
	}
}

// The link is shown on a terminal, wherever there is one, and never elsewhere.
func TestSecretOnlyOnTerminals(t *testing.T) {
	for _, outTTY := range []bool{false, true} {
		for _, errTTY := range []bool{false, true} {
			for name, make := range map[string]func(io *IO) Printer{
				"text": func(io *IO) Printer { return NewText(io, true) },
				"json": NewJSON,
			} {
				io, out, errs := testIO(outTTY, errTTY)
				p := make(io)
				for _, e := range life() {
					p.Event(e)
				}
				if strings.Contains(out.String(), secret) && !outTTY || strings.Contains(errs.String(), secret) && !errTTY {
					t.Errorf("%s: the secret left the terminal (stdout is one: %v, stderr: %v)", name, outTTY, errTTY)
				}
				if (outTTY || errTTY) && name == "text" && !strings.Contains(out.String()+errs.String(), secret) {
					t.Errorf("%s: the link is nowhere (stdout: %v, stderr: %v)", name, outTTY, errTTY)
				}
			}
		}
	}
}

func TestTextError(t *testing.T) {
	io, out, errs := testIO(false, false)
	p := NewText(io, false)
	code := 5
	p.Event(session.Event{Event: session.EventError, Message: "the server ended\nwith 1", Hint: "look here\nor there", Code: &code,
		Log: []string{"Traceback:\n", "\tFile \x1b]0;x\x07y\n"}})
	p.Event(session.Event{Event: session.EventEnded, Reason: "the server ended", Code: &code})
	want := `    Traceback:
        File y
cscs: the server ended with 1
hint: look here
hint: or there
`
	if diff := cmp.Diff(want, errs.String()); diff != "" {
		t.Error(diff)
	}
	if out.Len() > 0 {
		t.Errorf("on stdout: %s", out)
	}
}

func TestJSON(t *testing.T) {
	io, out, errs := testIO(false, false)
	p := NewJSON(io)
	events := life()
	for _, e := range events {
		p.Event(e)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(events) {
		t.Fatalf("%d lines for %d events", len(lines), len(events))
	}
	for i, l := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(l), &got); err != nil {
			t.Fatal(err)
		}
		if got["event"] != events[i].Event || got["v"] != 1.0 || got["session"] != "abcd2345" {
			t.Errorf("line %d: %s", i, l)
		}
	}
	want := `{"v":1,"time":"2026-11-22T12:00:08Z","event":"ready","session":"abcd2345","cluster":"daint","url":"http://localhost:8888/lab","local_port":8888,"remote":"127.0.0.1:4567"}`
	if diff := cmp.Diff(want, lines[8]); diff != "" {
		t.Error(diff)
	}
	want = `{"v":1,"time":"2026-11-22T12:00:09Z","event":"forward","session":"abcd2345","cluster":"daint","url":"http://127.0.0.1:8788/","local_port":8788,"remote":"127.0.0.1:8787"}`
	if diff := cmp.Diff(want, lines[9]); diff != "" {
		t.Error(diff)
	}
	if errs.Len() > 0 {
		t.Errorf("on stderr: %s", errs)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0 s", 0: "0.0 s", 640 * time.Millisecond: "0.6 s", 42 * time.Second: "42 s",
		3*time.Minute + 5*time.Second: "3 min 05 s", 2*time.Hour + 3*time.Minute: "2 h 03 min",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestUTF8Locale(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"LANG": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LC_CTYPE": "C.utf8"}, true},
	} {
		if got := utf8Locale(func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("%v: got %v", tt.env, got)
		}
	}
}

// Two losses: how long each took is counted from its own.
func TestLostTwice(t *testing.T) {
	io, _, errs := testIO(false, false)
	text := NewText(io, false)
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, e := range []session.Event{
		{Event: session.EventLost, Host: "ela", Message: "it does not answer"},
		{Event: session.EventRestored, Host: "ela"},
		{Event: session.EventLost, Host: "ela", Message: "it does not answer"},
		{Event: session.EventRestored, Host: "ela"},
	} {
		at = at.Add(10 * time.Second)
		e.Time = at
		text.Event(e)
	}
	want := strings.Repeat(`! connection to ela lost: it does not answer
* ela connected again 10 s
`, 2)
	if diff := cmp.Diff(want, errs.String()); diff != "" {
		t.Error(diff)
	}
}

// A warning with a link in it has its secret on a terminal only.
func TestWarningWithLink(t *testing.T) {
	e := session.Event{Event: session.EventWarning, Time: noon, Message: "open http://127.0.0.1:1/ yourself", Local: "http://127.0.0.1:1/", Link: "http://127.0.0.1:1/?token=" + secret}
	for tty, want := range map[bool]string{false: "! open http://127.0.0.1:1/ yourself\n", true: "! open http://127.0.0.1:1/?token=" + secret + " yourself\n"} {
		io, _, errs := testIO(tty, tty)
		io.Color = false
		NewText(io, false).Event(e)
		if got := errs.String(); got != want {
			t.Errorf("on a terminal: %v: %q", tty, got)
		}
		io, out, errs := testIO(tty, tty)
		NewJSON(io).Event(e)
		if got := out.String() + errs.String(); strings.Contains(got, secret) || strings.Contains(got, "local\"") {
			t.Errorf("as JSON: %s", got)
		}
	}
}

// TestInterrupted: it is no success.
func TestInterrupted(t *testing.T) {
	for code, mark := range map[int]string{0: "✓", 130: "·"} {
		io, _, errs := testIO(false, true)
		io.Color = false
		NewText(io, false).Event(session.Event{Event: session.EventEnded, Reason: "interrupted", Code: &code})
		if errs.String() != mark+" interrupted\n" {
			t.Errorf("%d: %q", code, errs.String())
		}
	}
}

// TestHintWhole: an error's hint is broken by the terminal alone, which pastes it in one piece.
func TestHintWhole(t *testing.T) {
	const first = "nothing was sent, and nothing was changed by any of this; once more: cscs key sign --service x"
	const then = "mv -i /home/alice/.ssh/cscs-key /home/alice/.ssh/cscs-key.away && cscs key sign"
	io, _, errs := testIO(true, true)
	io.Color = false
	Error(io, "the number that was typed is none, and so nobody could be asked for anything", first+"\n"+then)
	want := "cscs: the number that was typed is none, and so nobody\n  could be asked for anything\nhint: " + first + "\nhint: " + then + "\n"
	if diff := cmp.Diff(want, errs.String()); diff != "" {
		t.Error(diff)
	}
}

// TestReportNarrow: a hint is broken at the width of the terminal, but for what can be pasted.
func TestReportNarrow(t *testing.T) {
	io, out, _ := testIO(true, true)
	io.Color, io.Width = false, func() int { return 40 }
	Report(io, false)(doctor.Result{
		Check: "files", Status: doctor.Failure, Seen: "cannot write in /home/alice/.ssh",
		Hint: "make it yours to write, as it is for nobody else: chmod u+rwx /home/alice/.ssh/a/long/way, or a place elsewhere: cscs key sign --identity FILE",
		Fix:  "chmod u+rwx /home/alice/.ssh/a/long/way",
	})
	want := `✗ files      cannot write in
             /home/alice/.ssh
             make it yours to write, as
             it is for nobody else:
             chmod u+rwx /home/alice/.ssh/a/long/way,
             or a place elsewhere:
             cscs key sign --identity FILE
`
	if out.String() != want {
		t.Errorf("got\n%s", out)
	}
}

// The server's own link is for a terminal, like the other.
func TestOwnLinkOnlyOnTerminals(t *testing.T) {
	e := session.Event{Event: session.EventReady, Time: noon, URL: "http://127.0.0.1:1/lab", Link: "http://127.0.0.1:1/.cscs/in?key=x", OwnLink: "http://127.0.0.1:1/lab?token=" + secret}
	for _, tty := range []bool{false, true} {
		for name, make := range map[string]func(io *IO) Printer{"text": func(io *IO) Printer { return NewText(io, true) }, "json": NewJSON} {
			io, out, errs := testIO(tty, tty)
			make(io).Event(e)
			if shown := strings.Contains(out.String()+errs.String(), secret); shown != (tty && name == "text") {
				t.Errorf("%s, terminal %v: %s%s", name, tty, out, errs)
			}
		}
	}
}
