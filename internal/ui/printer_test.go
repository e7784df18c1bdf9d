package ui

import (
	"bytes"
	"encoding/json"
	"regexp"
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

// TestTextOfWhatIsLeft: a job that is left goes on at once, or when it has started, for as long as its
// lease lasts or until its time limit, whichever comes first.
func TestTextOfWhatIsLeft(t *testing.T) {
	soon, later := noon.Add(3*time.Minute), noon.Add(3*time.Hour)
	for _, tt := range []struct {
		name       string
		e          session.Event
		want, lack []string
	}{
		{"lease", session.Event{Lease: 120}, []string{"up to 2 min 00 s"}, []string{"time limit", "queue"}},
		{"lease before the limit", session.Event{Lease: 3600, Until: &later}, []string{"up to 1 h 00 min"}, []string{"time limit"}},
		{"limit before the lease", session.Event{Lease: 3600, Until: &soon, Bounded: true}, []string{"until its time limit", "12:03", "3 min 00 s"}, []string{"1 h"}},
		{"no lease", session.Event{}, []string{"until its time limit"}, []string{"up to"}},
		{"no lease, known end", session.Event{Until: &later}, []string{"until its time limit", "15:00"}, []string{"up to"}},
		{"queued", session.Event{Lease: 120, Kept: true}, []string{"queue", "once it has started", "up to 2 min 00 s"}, nil},
		{"queued, short", session.Event{Lease: 3600, Kept: true, Bounded: true}, []string{"queue", "once it has started", "until its time limit"}, []string{"1 h"}},
		{"queued, no lease", session.Event{Kept: true}, []string{"queue", "once it has started", "until its time limit"}, []string{"up to"}},
	} {
		io, _, errs := testIO(false, false)
		tt.e.Event, tt.e.Session = session.EventDetached, "abcd2345"
		text := NewText(io, false)
		text.now = func() time.Time { return noon }
		text.Event(tt.e)
		for _, w := range append(tt.want, "cscs attach abcd2345", "cscs stop abcd2345") {
			if !strings.Contains(errs.String(), w) {
				t.Errorf("%s: %q lacks %q", tt.name, errs.String(), w)
			}
		}
		for _, w := range tt.lack {
			if strings.Contains(errs.String(), w) {
				t.Errorf("%s: %q has %q", tt.name, errs.String(), w)
			}
		}
	}
}

// TestStepTimesWithoutAnswers: the time of a step is without that of the user's answers.
func TestStepTimesWithoutAnswers(t *testing.T) {
	io, _, errs := testIO(false, false)
	text := NewText(io, false)
	text.Event(session.Event{Event: session.EventConnecting, Host: "ela", Time: noon})
	text.now = func() time.Time { return noon.Add(time.Second) }
	release := text.Hold()
	text.now = func() time.Time { return noon.Add(31 * time.Second) }
	release()
	text.Event(session.Event{Event: session.EventConnected, Host: "ela", Time: noon.Add(33 * time.Second)})
	if got := errs.String(); !strings.HasSuffix(got, " 3.0 s\n") {
		t.Errorf("a step of 33 s, 30 of them the user's: %s", got)
	}
}

// TestStepTimes: each step has its own time, the last one too; one that another process saw has none.
func TestStepTimes(t *testing.T) {
	events := func(earlier bool) string {
		io, _, errs := testIO(false, false)
		text := NewText(io, false)
		at := noon
		for _, e := range []struct {
			after time.Duration
			e     session.Event
		}{
			{0, session.Event{Event: session.EventConnecting, Host: "ela"}},
			{2 * time.Second, session.Event{Event: session.EventConnected, Host: "ela"}},
			{60 * time.Second, session.Event{Event: session.EventGranted, Job: "7", Node: "nid1", Earlier: earlier}},
			{time.Second, session.Event{Event: session.EventStarted, Node: "nid1"}},
			{4 * time.Second, session.Event{Event: session.EventReady, URL: "http://127.0.0.1:1/", LocalPort: 1, Remote: "127.0.0.1:2", On: "nid1"}},
		} {
			at = at.Add(e.after)
			e.e.Time = at
			text.Event(e.e)
		}
		return errs.String()
	}
	var times []string
	for line := range strings.Lines(events(false)) {
		if m := regexp.MustCompile(`^\* .*? ((?:[0-9]+ min )?[0-9.]+ s)\n$`).FindStringSubmatch(line); m != nil {
			times = append(times, m[1])
		}
	}
	if diff := cmp.Diff([]string{"2.0 s", "1 min 00 s", "5.0 s"}, times); diff != "" {
		t.Error(diff)
	}
	io, _, errs := testIO(false, false)
	text := NewText(io, false)
	for i, name := range []string{session.EventConnected, session.EventGranted, session.EventQueued, session.EventGranted} {
		text.Event(session.Event{Event: name, Job: "7", Node: "nid1", Time: noon.Add(time.Duration(i*i) * time.Second)})
	}
	if !strings.HasSuffix(errs.String(), " 5.0 s\n") {
		t.Errorf("a job that waited again, for 5 s: %s", errs)
	}
	if got := events(true); strings.Contains(got, "1 min 00 s") {
		t.Errorf("a grant that another process saw has a time: %s", got)
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
- job 42 is queued (session abcd2345): it waits for resources, expected to start at 12:10
* job 42 granted: nid001001 and 1 more, partition normal, account g1, ends on Mon 23 Nov 14:00 3.0 s
* ready: localhost:8888 leads to 127.0.0.1:4567 on nid001001 2.0 s
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
		"✓ ready: localhost:8888 leads to 127.0.0.1:4567 on", "nid001001 2.0 s",
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
		-time.Second: "0.0 s", 0: "0.0 s", 640 * time.Millisecond: "0.6 s", 42 * time.Second: "42 s", 59_700 * time.Millisecond: "59 s", 9_970 * time.Millisecond: "9.9 s",
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

// A token in the log that is shown with an error is for a terminal only.
func TestLogTokenOnlyOnTerminals(t *testing.T) {
	e := session.Event{Event: session.EventError, Time: noon, Message: "the server ended with 3", Log: []string{
		"open http://127.0.0.1:1/lab?token=" + secret, "URL: \x1b[32mhttp://localhost:1\x1b[0m?file=a.py&access_token=" + secret + "&more=1",
		"KeyError: 'x'",
	}}
	for _, tty := range []bool{false, true} {
		for name, make := range map[string]func(io *IO) Printer{"text": func(io *IO) Printer { return NewText(io, true) }, "json": NewJSON} {
			io, out, errs := testIO(tty, tty)
			make(io).Event(e)
			said := out.String() + errs.String()
			if shown := strings.Contains(said, secret); shown != (tty && name == "text") {
				t.Errorf("%s, terminal %v: %s", name, tty, said)
			}
			if rest := strings.Contains(said, "file=a.py") && strings.Contains(said, "&more=1") && strings.Contains(said, "KeyError: 'x'"); name == "text" && !rest {
				t.Errorf("%s, terminal %v: the rest of the log is not shown: %s", name, tty, said)
			}
		}
	}
}

// What has the value of a secret in an address is masked, and nothing else.
func TestMaskTokens(t *testing.T) {
	for line, want := range map[string]string{
		"http://h:1/?tkn=6bf9-aa&x=1 now":             "http://h:1/?tkn=...&x=1 now",
		"http://h:1?secret=Ab12":                      "http://h:1?secret=...",
		"'http://h:1/?a=b&TOKEN=Ab12'":                "'http://h:1/?a=b&TOKEN=...'",
		"<http://h:1/#id_token=Ab12>":                 "<http://h:1/#id_token=...>",
		"GET /?api_key=Ab12 200":                      "GET /?api_key=... 200",
		"/x?auth=Ab12;password=Cd34":                  "/x?auth=...;password=...",
		"http://h:1/?token=...":                       "http://h:1/?token=...",
		"sorted(x, key=len)":                          "sorted(x, key=len)",
		"unexpected token: }":                         "unexpected token: }",
		"http://h:1/?page=2&monkey=1&tokens_per_s=90": "http://h:1/?page=2&monkey=1&tokens_per_s=90",
		"": "",
	} {
		if got := MaskTokens(line); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}

// TestSpan: what is left of a time is rounded down, and its last minutes count in seconds.
func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "over", -time.Second: "over", 300 * time.Millisecond: "1 s", time.Second: "1 s", 59 * time.Second: "59 s",
		time.Minute: "1 min 00 s", 119 * time.Second: "1 min 59 s", 9*time.Minute + 59*time.Second: "9 min 59 s",
		10 * time.Minute: "10 min", 59*time.Minute + 59*time.Second: "59 min", 26 * time.Hour: "26 h 00 min",
		71 * time.Hour: "2 days 23 h", 48 * time.Hour: "2 days 0 h", 20 * 24 * time.Hour: "20 days",
	} {
		if got := formatRemaining(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

// TestTextNamesTheSession: output that is no terminal names the session by its ID on the first line
// that names its job, and on no other.
func TestTextNamesTheSession(t *testing.T) {
	queued, granted := session.Event{Event: session.EventQueued, Job: "42", Reason: "other jobs come first"}, session.Event{Event: session.EventGranted, Job: "42", Node: "nid1"}
	for _, events := range [][]session.Event{{queued, queued, granted}, {granted}, {queued}} {
		io, _, errs := testIO(false, false)
		p := NewText(io, false)
		for _, e := range events {
			e.Session = "abcd2345"
			p.Event(e)
		}
		first, _, _ := strings.Cut(errs.String(), "\n")
		if !strings.Contains(first, "job 42") || !strings.Contains(first, "session abcd2345") || strings.Count(errs.String(), "abcd2345") != 1 {
			t.Errorf("%d events: %q", len(events), errs)
		}
	}
}

// TestTextAsksSlurm: from the connection to the login node until the first answer, Slurm is waited for.
func TestTextAsksSlurm(t *testing.T) {
	for _, login := range []string{"daint", ""} {
		io, _, errs := testIO(false, true)
		p := NewText(io, false)
		p.Login = login
		said := func(events ...session.Event) string {
			errs.Reset()
			for _, e := range events {
				p.Event(e)
			}
			lines := strings.Split(errs.String(), "\r")
			return lines[len(lines)-1]
		}
		if last := said(session.Event{Event: session.EventConnected, Host: "ela"}); strings.Contains(last, "Slurm") {
			t.Errorf("connected to the jump host: %q", last)
		}
		if last := said(session.Event{Event: session.EventConnected, Host: "daint"}); strings.Contains(last, "Slurm") != (login != "") {
			t.Errorf("connected to the login node: %q", last)
		}
		if last := said(session.Event{Event: session.EventQueued, Job: "42"}); strings.Contains(last, "Slurm") {
			t.Errorf("queued: %q", last)
		}
		if last := said(session.Event{Event: session.EventGranted, Job: "42", Node: "nid1"}); strings.Contains(last, "Slurm") {
			t.Errorf("granted: %q", last)
		}
	}
}

// TestEstimate: an expected start that has passed is none.
func TestEstimate(t *testing.T) {
	for after, want := range map[time.Duration]bool{time.Hour: true, -time.Minute: false} {
		io, _, errs := testIO(false, false)
		text := NewText(io, false)
		text.now = func() time.Time { return noon }
		start := noon.Add(after)
		text.Event(session.Event{Event: session.EventQueued, Job: "7", Start: &start, Time: noon})
		if strings.Contains(errs.String(), "expected to start") != want {
			t.Errorf("expected in %v: %q", after, errs)
		}
	}
}
