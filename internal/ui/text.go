package ui

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// Text shows a session to a person: a line for each step that is done, and on a
// terminal one more line, rewritten in place, for what it is waiting for.
type Text struct {
	CtrlC string // what Ctrl-C does once the session is ready
	Login string // the host that asks Slurm for a job as soon as it is connected; "": none does

	io      *IO
	verbose bool
	now     func() time.Time

	mu      sync.Mutex
	view    *view                // nil: there is none
	waiting string               // the line on the screen that can be taken back
	pending []pending            // what is being waited for, oldest first
	since   map[string]time.Time // when the steps began, by name
	told    string               // the last waiting line that was printed for good
	failed  bool                 // an error was shown
	names   string               // the job of which a line has the session's ID
}

// pending is something that is being waited for.
type pending struct{ step, text string }

// NewText is the printer for people.
func NewText(io *IO, verbose bool) *Text {
	return &Text{CtrlC: "Ctrl-C ends it", io: io, verbose: verbose, now: time.Now, since: map[string]time.Time{}}
}

// Event shows e.
func (t *Text) Event(e session.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	if t.view != nil {
		t.view.status.take(e)
	}
	switch e.Event {
	case session.EventConnecting:
		t.wait("connect "+e.Host, e.Time, "connecting to "+Clean(e.Host), t.verbose)
	case session.EventConnected:
		t.done("connect "+e.Host, e.Time, Clean(e.Host)+" connected")
		t.since["queue"] = e.Time
		if e.Host == t.Login {
			t.wait("ask", e.Time, "asking Slurm for the job", false)
		}
	case session.EventQueued:
		t.forget("ask")
		t.wait("queue", t.begin("queue", e.Time), t.queued(e), true)
	case session.EventGranted:
		t.forget("ask")
		if e.Earlier {
			t.doneEarlier("queue", t.granted(e))
		} else {
			t.done("queue", e.Time, t.granted(e))
		}
		delete(t.since, "queue") // a job that Slurm requeues waits anew
		t.wait("server", e.Time, "starting the server on "+Clean(e.Node), false)
	case session.EventStarted:
		// That a process exists is not yet a server that anybody could tick off.
		t.forget("server")
		t.wait("answer", e.Time, "server is starting on "+Clean(e.Node), false)
	case session.EventReady:
		t.pending = nil
		// The step since the grant; a tunnel has none, and goes on from the last connection.
		if _, ok := t.since["server"]; !ok {
			t.since["server"] = t.begin("queue", e.Time)
		}
		t.done("server", e.Time, leads("ready", e)+t.inJob(e))
		t.link(e)
	case session.EventForward:
		t.line(t.mark("✓", "*"), green, leads("also", e)+": "+Clean(e.URL))
	case session.EventLost:
		lost := "connection to " + Clean(e.Host) + " lost: "
		t.line("!", yellow, lost+strings.TrimPrefix(Clean(e.Message), lost)) // which an error says itself
		t.wait("lost "+e.Host, e.Time, "connecting to "+Clean(e.Host)+" again", false)
	case session.EventRestored:
		step := "lost " + e.Host
		t.done(step, e.Time, Clean(e.Host)+" connected again")
		delete(t.since, step) // the next time is another
	case session.EventWarning:
		t.line("!", yellow, t.warning(e))
	case session.EventDetached:
		t.pending = nil
		t.detached(e)
	case session.EventEnding:
		t.pending = nil
		text := "ending" // why is told with the end
		if t.io.Rewrite {
			text += ": " + Clean(e.Reason) + " (Ctrl-C: do not wait)"
		}
		t.wait("end", e.Time, text, true)
	case session.EventError:
		t.error(e)
	case session.EventEnded:
		t.pending = nil
		t.clear()
		switch {
		case t.failed || e.Reason == "":
		case e.Code != nil && *e.Code != 0: // interrupted before it was ready
			t.line(t.mark("·", "-"), dim, Clean(e.Reason))
		default:
			t.line(t.mark("✓", "*"), green, Clean(e.Reason))
		}
		if e.LogFile != "" && (t.failed || t.verbose) {
			t.line(t.mark("·", "-"), dim, "server log: "+Clean(e.LogFile))
		}
	}
}

// Hold takes back the waiting line and keeps all others until the function that it
// returns is called: the user is asked something on the same terminal. The time until
// then counts for no step.
func (t *Text) Hold() (release func()) {
	t.mu.Lock()
	held := t.now()
	t.clear()
	t.flush()
	if t.view != nil {
		t.view.quiet()
	}
	return func() {
		answered := t.now().Sub(held)
		for step, began := range t.since {
			t.since[step] = began.Add(answered)
		}
		if t.view != nil {
			t.view.settle()
		}
		t.show()
		t.flush()
		t.mu.Unlock()
	}
}

// Note shows a line that is no event, with --verbose.
func (t *Text) Note(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	if t.verbose {
		t.line(t.mark("·", "-"), dim, Clean(s))
	}
}

// complain shows what went wrong with something that a key asked for.
func (t *Text) complain(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	t.line("!", yellow, Clean(err.Error()))
}

// warning is one with the link that gets in, where that may be shown.
func (t *Text) warning(e session.Event) string {
	if !t.io.ErrTTY || e.Link == "" || e.Local == "" {
		return Clean(e.Message)
	}
	return Clean(strings.Replace(e.Message, e.Local, cmp.Or(e.OwnLink, e.Link), 1))
}

// named is the session's ID for a line of output that is no terminal's: cscs stop, logs and attach take
// it. The lines of one job have it once.
func (t *Text) named(e session.Event) string {
	if t.io.Rewrite || e.Event == session.EventGranted && t.names == e.Job {
		return ""
	}
	t.names = e.Job
	return " (session " + Clean(e.Session) + ")"
}

func (t *Text) queued(e session.Event) string {
	s := "waiting in the queue"
	if e.Job != "" {
		s = "job " + Clean(e.Job) + " is queued" + t.named(e)
	}
	if e.Reason != "" {
		s += ": " + Clean(e.Reason)
	}
	if e.Start != nil && e.Start.After(t.now()) {
		s += ", expected to start " + t.clock(*e.Start)
	}
	return s
}

func (t *Text) granted(e session.Event) string {
	s := fmt.Sprintf("job %s granted%s: %s", Clean(e.Job), t.named(e), Clean(e.Node))
	if n := len(e.Nodes); n > 1 {
		s += fmt.Sprintf(" and %d more", n-1)
	}
	if e.Partition != "" {
		s += ", partition " + Clean(e.Partition)
	}
	if e.Account != "" {
		s += ", account " + Clean(e.Account)
	}
	if e.Ends != nil {
		s += ", ends " + t.clock(*e.Ends)
	}
	return s
}

// detached says for how long the session goes on, and how it is picked up and ended.
func (t *Text) detached(e session.Event) {
	s := "it goes on until its time limit"
	switch {
	case e.Lease > 0 && !e.Bounded:
		s = "it goes on, for up to " + Duration(time.Duration(e.Lease)*time.Second) + " without a client"
	case e.Until != nil:
		s += ", " + t.clock(*e.Until) + " (in " + span(e.Until.Sub(t.now())) + ")"
	}
	if e.Kept {
		s = "it waits in the queue; once it has started, " + s
	}
	t.line(t.mark("·", "-"), dim, "detached: "+s+"; pick it up with: cscs attach "+Clean(e.Session)+", end it with: cscs stop "+Clean(e.Session))
}

// inJob says in which job the server of a tunnel runs, and for how long.
func (t *Text) inJob(e session.Event) string {
	if e.InJob == "" {
		return ""
	}
	s := ", in job " + Clean(e.InJob)
	if e.Until != nil {
		s += ", which ends " + t.clock(*e.Until) + " (" + span(e.Until.Sub(t.now())) + " left)"
	}
	return s
}

// leads says where a local port leads.
func leads(s string, e session.Event) string {
	if e.LocalPort != 0 && e.Remote != "" {
		s += fmt.Sprintf(": localhost:%d leads to %s", e.LocalPort, Clean(e.Remote))
		if e.On != "" {
			s += " on " + Clean(e.On)
		}
	}
	return s
}

// link prints the result.
func (t *Text) link(e session.Event) {
	t.clear()
	defer t.show()
	Link(t.io, e.URL, e.Link)
	if t.io.ErrTTY && e.OwnLink != "" {
		fmt.Fprintln(t.io.Err, t.paint(dim, "the server's own link: ")+Clean(e.OwnLink))
	}
	if t.io.ErrTTY && t.view == nil { // which has a place for that
		fmt.Fprintln(t.io.Err, t.paint(dim, t.CtrlC))
	}
}

// Link prints an address as a result. The link with its secret goes to a terminal only:
// what is not one may be a log, a pipe or somebody else's screen.
func Link(io *IO, url, link string) {
	url, link = Clean(url), Clean(link)
	if link == "" {
		link = url
	}
	if io.OutTTY {
		fmt.Fprintln(io.Out, link)
		return
	}
	fmt.Fprintln(io.Out, url)
	if io.ErrTTY && link != url {
		fmt.Fprintln(io.Err, link)
	}
}

// Say prints a line of ours that belongs to no session under way.
func Say(io *IO, line string) {
	for _, l := range io.hang(Clean(line), "") {
		fmt.Fprintln(io.Err, l)
	}
}

func (t *Text) error(e session.Event) {
	t.failed = true
	t.pending = nil
	t.clear()
	printError(t.io, e.Message, e.Hint, e.Log)
}

// Error shows an error that belongs to no session, or came before it began.
func Error(io *IO, message, hint string) { printError(io, message, hint, nil) }

func printError(io *IO, message, hint string, log []string) {
	for _, l := range log {
		l = CleanLine(l)
		if !io.ErrTTY {
			l = MaskTokens(l)
		}
		fmt.Fprintln(io.Err, "    "+l)
	}
	const name = "cscs:"
	for i, l := range io.hang(name+" "+Clean(message), "") {
		if io.Color && i == 0 {
			l = red + name + reset + strings.TrimPrefix(l, name)
		}
		fmt.Fprintln(io.Err, l)
	}
	for l := range strings.Lines(hint) { // the terminal breaks them, and pastes them in one piece
		fmt.Fprintln(io.Err, "hint: "+Clean(l))
	}
}
