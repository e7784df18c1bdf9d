package main

import (
	"context"
	"time"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/internal/waitingroom"
	"github.com/alps-tunnel/cscs/session"
)

// A start is a session that is about to begin: its printer, its prompter and its interrupts.
type start struct {
	deps    *deps
	opts    *options
	id      string
	cluster site.Cluster
	printer ui.Printer
	note    func(string) // prints with --verbose
	ask     *ui.Prompter // nil: no terminal to ask on
	signals *interrupts
	gauge   session.Metrics
	route   *connect.Route
	told    map[string]bool // warnings that were printed
	desktop desktopNotifier
	room    *waitingroom.Room // the waiting page; nil: not yet
}

// withCluster finds the route to the cluster and calls do, which returns when the session is over. From here on
// errors are events, except usage errors. These go to stderr as text even with --json, as before any session.
func (d *deps) withCluster(ctx context.Context, o *options, cfg *site.Config, cl site.Cluster, do func(*start) error) error {
	s := &start{deps: d, opts: o, id: session.NewID(), cluster: cl, told: map[string]bool{}}
	agents := &key.Lists{Waiting: func(socket string) {
		s.emitEvent(session.Event{Event: session.EventWarning, Message: agentWaits(socket)})
	}}
	signals, stop := hearInterrupts(agents.In(ctx))
	defer stop()
	s.signals = signals
	defer s.desktop.wait()
	if o.json {
		s.printer = ui.NewJSON(d.io)
		s.note = func(text string) {
			if o.verbose {
				d.say(text)
			}
		}
	} else {
		text := ui.NewText(d.io, o.verbose)
		s.printer, s.note = text, text.Note
	}
	var ask connect.Prompter // a nil *ui.Prompter would make a non-nil interface
	if p, err := ui.NewPrompter(); err == nil {
		s.ask, ask = p, p
		s.ask.Interrupt, s.ask.As = signals.raiseInterrupt, o.askAs
		if text, ok := s.printer.(*ui.Text); ok {
			s.ask.Hold = text.Hold
		}
	}
	renew, err := s.newRenewal(cfg, cl, ask)
	if err != nil {
		return s.reportFailure(err)
	}
	if o.dryRun { // dry run signs nothing, so it asks nothing
		ask = nil
	}
	s.route, err = connect.FindRoute(signals.ctx, cfg, cl, connect.Options{Overrides: o.overrides(), Prompter: ask, Renewal: renew, Keeping: s.newKeeping(),
		OpenLate: o.asGuest || o.dryRun})
	if err != nil {
		return s.reportFailure(err)
	}
	if !o.dryRun {
		for i := range s.route.Hosts() {
			s.note(describeHop(s.route, i))
		}
		s.emitWarnings()
	}
	return do(s)
}

// reportFailure reports an error that occurred before the session began.
func (s *start) reportFailure(err error) error {
	p := problem.At(s.cluster.Name, err)
	if p.Code == problem.Usage {
		return err
	}
	if p.Code != problem.Interrupted {
		s.emitEvent(session.Event{Event: session.EventError, Problem: p.ID, Message: p.Message, Hint: p.Hint, Code: &p.Code})
	}
	s.emitEvent(session.Event{Event: session.EventEnded, Reason: p.Message, Code: &p.Code})
	return &toldError{err}
}

// emitEvent prints an event of the command itself, before those of the session.
func (s *start) emitEvent(e session.Event) {
	e.V, e.Time, e.Session, e.Cluster = session.EventVersion, time.Now().UTC(), s.id, s.cluster.Name
	s.printEvent(e)
}

// printEvent prints an event; with --verbose, also the ID of a problem.
func (s *start) printEvent(e session.Event) {
	s.printer.Event(e)
	if e.Problem != "" {
		s.note("problem: " + e.Problem)
	}
}

// emitWarnings prints the new warnings of the route.
func (s *start) emitWarnings() {
	for _, m := range s.route.TakeWarnings(s.told) {
		s.emitEvent(session.Event{Event: session.EventWarning, Message: m})
	}
}

// showEvent prints an event of the session. A new connection may have brought warnings of known_hosts.
func (s *start) showEvent(e session.Event) {
	if s.room != nil { // first, so that the page is never behind the terminal
		s.room.Event(e)
	}
	s.printEvent(e)
	s.notifyDesktop(e)
	if e.Event == session.EventConnected {
		s.emitWarnings()
	}
}

// explainError returns the message, hint and exit code for an error of this session.
func (s *start) explainError(err error) session.Explanation {
	p := problem.At(s.cluster.Name, s.route.RefusalCause(err))
	return session.Explanation{ID: p.ID, Message: p.Message, Hint: p.Hint, Code: p.Code}
}

// markTold marks the error of a session as reported, since an event has reported it.
func markTold(err error) error {
	if err == nil {
		return nil
	}
	return &toldError{err}
}
