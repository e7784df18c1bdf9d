package ui

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// Text shows a session to a user: one line for each finished step. On a terminal, one more line, rewritten in
// place, shows what the session waits for.
type Text struct {
	CtrlC string // says what Ctrl-C does once the session is ready
	Login string // the host that asks Slurm for the job as soon as it is connected; "": none

	io      *IO
	verbose bool
	now     func() time.Time

	mu          sync.Mutex
	view        *view                // nil: none
	waiting     string               // the line on the screen that can be erased
	pending     []pending            // what the session waits for, oldest first
	since       map[string]time.Time // when the steps began, by name
	lastPrinted string               // the last waiting line that was printed permanently
	failed      bool                 // an error was printed
	namedJob    string               // the job whose line already has the session's ID
}

// pending is a step that the session waits for.
type pending struct{ step, text string }

// NewText returns the printer for users.
func NewText(io *IO, verbose bool) *Text {
	return &Text{CtrlC: "Ctrl-C ends it", io: io, verbose: verbose, now: time.Now, since: map[string]time.Time{}}
}

// Event prints e.
func (t *Text) Event(e session.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	if t.view != nil {
		t.view.status.Apply(e)
	}
	switch e.Event {
	case session.EventConnecting:
		t.setPending("connect "+e.Host, e.Time, "connecting to "+Clean(e.Host), t.verbose)
	case session.EventConnected:
		t.finishStep("connect "+e.Host, e.Time, Clean(e.Host)+" connected")
		t.since["queue"] = e.Time
		if e.Host == t.Login {
			t.setPending("ask", e.Time, "asking Slurm for the job", false)
		}
	case session.EventQueued:
		t.dropPending("ask")
		t.setPending("queue", t.stepStart("queue", e.Time), t.queuedText(e), true)
	case session.EventGranted:
		t.dropPending("ask")
		if e.Earlier {
			t.doneEarlier("queue", t.grantedText(e))
		} else {
			t.finishStep("queue", e.Time, t.grantedText(e))
		}
		delete(t.since, "queue") // if Slurm requeues the job, a new wait begins
		t.setPending("server", e.Time, "starting the server on "+Clean(e.Node), false)
	case session.EventStarted:
		// The process exists, but the server does not answer yet, so this step is not finished.
		t.dropPending("server")
		t.setPending("answer", e.Time, "server is starting on "+Clean(e.Node), false)
	case session.EventReady:
		t.pending = nil
		// The step runs since the grant. A tunnel has no grant; its step runs since the last connection.
		if _, ok := t.since["server"]; !ok {
			t.since["server"] = t.stepStart("queue", e.Time)
		}
		t.finishStep("server", e.Time, describeForward("ready", e)+t.inJob(e))
		t.printLink(e)
	case session.EventForward:
		t.printLine(t.chooseMark("✓", "*"), green, describeForward("also", e)+": "+Clean(e.URL))
	case session.EventLost:
		lost := "connection to " + Clean(e.Host) + " lost: "
		t.printLine("!", yellow, lost+strings.TrimPrefix(Clean(e.Message), lost)) // the error may begin with it
		t.setPending("lost "+e.Host, e.Time, "connecting to "+Clean(e.Host)+" again", false)
	case session.EventRestored:
		step := "lost " + e.Host
		t.finishStep(step, e.Time, Clean(e.Host)+" connected again")
		delete(t.since, step) // the next loss is a new step
	case session.EventWarning:
		t.printLine("!", yellow, t.warningText(e))
	case session.EventDetached:
		t.pending = nil
		t.printDetached(e)
	case session.EventEnding:
		t.pending = nil
		text := "ending" // the last line has the reason
		if t.io.Rewrite {
			text += ": " + Clean(e.Reason) + " (Ctrl-C: do not wait)"
		}
		t.setPending("end", e.Time, text, true)
	case session.EventError:
		t.failed, t.pending = true, nil
		t.eraseTransient()
		printError(t.io, e.Message, e.Hint, e.Log)
	case session.EventEnded:
		t.pending = nil
		t.eraseTransient()
		switch {
		case t.failed || e.Reason == "":
		case e.Code != nil && *e.Code != 0: // interrupted before it was ready
			t.printLine(t.chooseMark("·", "-"), dim, Clean(e.Reason))
		default:
			t.printLine(t.chooseMark("✓", "*"), green, Clean(e.Reason))
		}
		if e.LogFile != "" && (t.failed || t.verbose) {
			t.printLine(t.chooseMark("·", "-"), dim, "server log: "+Clean(e.LogFile))
		}
	}
}

// Hold erases the waiting line and blocks all other output until the caller calls release, for a question on
// the same terminal. No step counts the time in between.
func (t *Text) Hold() (release func()) {
	t.mu.Lock()
	held := t.now()
	t.eraseTransient()
	t.flush()
	if t.view != nil {
		t.view.releaseKeys()
	}
	return func() {
		answered := t.now().Sub(held)
		for step, began := range t.since {
			t.since[step] = began.Add(answered)
		}
		if t.view != nil {
			t.view.updateForeground()
		}
		t.drawTransient()
		t.flush()
		t.mu.Unlock()
	}
}

// Note prints a line that is no event, if --verbose is set.
func (t *Text) Note(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	if t.verbose {
		t.printLine(t.chooseMark("·", "-"), dim, Clean(s))
	}
}

// printWarning prints the error of an action that a key started.
func (t *Text) printWarning(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.flush()
	t.printLine("!", yellow, Clean(err.Error()))
}

// warningText returns the warning, with the link instead of the address if stderr is a terminal.
func (t *Text) warningText(e session.Event) string {
	if !t.io.ErrTTY || e.Link == "" || e.Local == "" {
		return Clean(e.Message)
	}
	return Clean(strings.Replace(e.Message, e.Local, cmp.Or(e.OwnLink, e.Link), 1))
}

// sessionSuffix returns the session's ID for output that is no terminal, since cscs stop, logs and attach need
// it. Of the lines of one job, only the first has it.
func (t *Text) sessionSuffix(e session.Event) string {
	if t.io.Rewrite || e.Event == session.EventGranted && t.namedJob == e.Job {
		return ""
	}
	t.namedJob = e.Job
	return " (session " + Clean(e.Session) + ")"
}

func (t *Text) queuedText(e session.Event) string {
	s := "waiting in the queue"
	if e.Job != "" {
		s = "job " + Clean(e.Job) + " is queued" + t.sessionSuffix(e)
	}
	if e.Reason != "" {
		s += ": " + Clean(e.Reason)
	}
	if e.Start != nil && e.Start.After(t.now()) {
		s += ", expected to start " + At(*e.Start, t.now())
	}
	return s
}

func (t *Text) grantedText(e session.Event) string {
	s := fmt.Sprintf("job %s granted%s: %s", Clean(e.Job), t.sessionSuffix(e), Clean(e.Node))
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
		s += ", ends " + At(*e.Ends, t.now())
	}
	return s
}

// printDetached says how long the session continues, and how to attach to it and end it.
func (t *Text) printDetached(e session.Event) {
	s := "it runs until its time limit"
	switch {
	case e.Lease > 0 && !e.Bounded:
		s = "it runs for up to " + Duration(time.Duration(e.Lease)*time.Second) + " without a client"
	case e.Until != nil:
		s += ", " + At(*e.Until, t.now()) + " (in " + formatRemaining(e.Until.Sub(t.now())) + ")"
	}
	if e.Kept {
		s = "it waits in the queue; once it has started, " + s
	}
	t.printLine(t.chooseMark("·", "-"), dim, "detached: "+s+"; attach to it with: cscs attach "+Clean(e.Session)+"; end it with: cscs stop "+Clean(e.Session))
}

// inJob says in which job the server of a tunnel runs, and how long the job lasts.
func (t *Text) inJob(e session.Event) string {
	if e.InJob == "" {
		return ""
	}
	s := ", in job " + Clean(e.InJob)
	if e.Until != nil {
		s += ", which ends " + At(*e.Until, t.now()) + " (" + formatRemaining(e.Until.Sub(t.now())) + " left)"
	}
	return s
}

// describeForward says where a local port leads.
func describeForward(s string, e session.Event) string {
	if e.LocalPort != 0 && e.Remote != "" {
		s += fmt.Sprintf(": localhost:%d leads to %s", e.LocalPort, Clean(e.Remote))
		if e.On != "" {
			s += " on " + Clean(e.On)
		}
	}
	return s
}

// printLink prints the result.
func (t *Text) printLink(e session.Event) {
	t.eraseTransient()
	defer t.drawTransient()
	Link(t.io, e.URL, e.Link)
	if t.io.ErrTTY && e.OwnLink != "" {
		fmt.Fprintln(t.io.Err, t.colorText(dim, "the server's own link: ")+Clean(e.OwnLink))
	}
	if t.io.ErrTTY && t.view == nil { // the live view shows it in its keys
		fmt.Fprintln(t.io.Err, t.colorText(dim, t.CtrlC))
	}
}

// Link prints an address as a result. It writes the link with its secret to a terminal only: a file or a pipe
// may be a log or another user's screen.
func Link(io *IO, url, link string) {
	url = Clean(url)
	link = cmp.Or(Clean(link), url)
	if io.OutTTY {
		fmt.Fprintln(io.Out, link)
		return
	}
	fmt.Fprintln(io.Out, url)
	if io.ErrTTY && link != url {
		fmt.Fprintln(io.Err, link)
	}
}

// Say prints a line of cscs that belongs to no running session.
func Say(io *IO, line string) {
	for _, l := range io.wrapHanging(Clean(line), "") {
		fmt.Fprintln(io.Err, l)
	}
}

// Error prints an error that belongs to no session, or that occurred before the session began.
func Error(io *IO, message, hint string) { printError(io, message, hint, nil) }

// printError prints the log, masked unless on a terminal, then the message and the hint.
func printError(io *IO, message, hint string, log []string) {
	for _, l := range log {
		l = CleanLine(l)
		if !io.ErrTTY {
			l = MaskTokens(l)
		}
		fmt.Fprintln(io.Err, "    "+l)
	}
	const name = "cscs:"
	for i, l := range io.wrapHanging(name+" "+Clean(message), "") {
		if io.Color && i == 0 {
			l = red + name + reset + strings.TrimPrefix(l, name)
		}
		fmt.Fprintln(io.Err, l)
	}
	for l := range strings.Lines(hint) { // not wrapped: the terminal breaks them and copies each as one line
		fmt.Fprintln(io.Err, "hint: "+Clean(l))
	}
}
