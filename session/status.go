package session

import (
	"slices"
	"time"
)

// A Status is the state of a session as its events describe it. The zero value is the state before the first event.
// An event field is nil until such an event has come.
type Status struct {
	Session   string
	Began     time.Time // of the first event
	Connected []Event   // the first connection to each host, in order

	Queued, Granted, Started, Ready *Event    // the latest of each; a job that is queued again has only Queued
	QueuedAt, GrantedAt             time.Time // of the first of each

	Job, Node    string
	Begins, Ends time.Time // of the job in which the server runs; zero: not known
	URL, Link    string    // of the server or its waiting page; Link is secret, see Event
	Kept         bool      // the session continues without this process

	Lost        []Event // lost connections that are not restored, oldest first
	Warning     *Event  // the latest, unless the connection that it is about is back
	BeforeReady *Event  // Warning when the server became ready

	Detached, Ending, Failure, Ended *Event

	lossWarning bool // Warning is about a lost connection
}

// Apply updates the status by the next event of the session.
func (s *Status) Apply(e Event) {
	if s.Began.IsZero() {
		s.Began = e.Time
	}
	s.Session = e.Session
	sameHost := func(other Event) bool { return other.Host == e.Host }
	switch e.Event {
	case EventConnected:
		if !slices.ContainsFunc(s.Connected, sameHost) {
			s.Connected = append(s.Connected, e)
		}
	case EventQueued:
		if s.Queued == nil {
			s.QueuedAt = e.Time
		}
		s.Queued, s.Granted, s.Started, s.Ready, s.GrantedAt = &e, nil, nil, nil, time.Time{}
		s.Job, s.Kept = e.Job, e.Kept
		s.URL, s.Link = e.Local, e.Link
	case EventGranted:
		if s.GrantedAt.IsZero() {
			s.GrantedAt = e.Time
		}
		s.Granted = &e
		s.Job, s.Node = e.Job, e.Node
		s.URL, s.Link = e.Local, e.Link
		s.setLimits(e, e.Ends)
	case EventStarted:
		s.Started = &e
		s.Node, s.Kept = e.Node, true
	case EventReady:
		s.applyReady(e)
	case EventLost:
		s.Lost = append(slices.DeleteFunc(slices.Clone(s.Lost), sameHost), e)
	case EventRestored:
		s.Lost = slices.DeleteFunc(slices.Clone(s.Lost), sameHost)
		if len(s.Lost) == 0 && s.lossWarning {
			s.Warning = nil
		}
	case EventWarning:
		s.Warning, s.lossWarning = &e, len(s.Lost) > 0 && e.Ends == nil
		if e.Local != "" {
			s.URL, s.Link = e.Local, e.Link
		}
	case EventDetached:
		s.Detached = &e
	case EventEnding:
		s.Ending = &e
	case EventError:
		s.Failure = &e
	case EventEnded:
		s.Ended = &e
	}
}

// applyReady updates the status by a server that answers. The job of a tunnel is known only now.
func (s *Status) applyReady(e Event) {
	s.Ready, s.BeforeReady = &e, s.Warning
	s.URL, s.Link = e.URL, e.Link
	if e.On != "" {
		s.Node = e.On
	}
	if e.InJob != "" {
		s.Job = e.InJob
	}
	if e.Until != nil {
		s.setLimits(e, e.Until)
	}
}

// setLimits sets the begin and the end of the job; the event stands for a begin that is not known.
func (s *Status) setLimits(e Event, ends *time.Time) {
	s.Begins, s.Ends = e.Time, time.Time{}
	if e.Begins != nil && !e.Begins.IsZero() {
		s.Begins = *e.Begins
	}
	if ends != nil {
		s.Ends = *ends
	}
}

// IsServing reports whether the server answers and the session goes on. A lost connection does not change that.
func (s *Status) IsServing() bool { return s.Ready != nil && !s.IsEnding() }

// IsEnding reports whether the session ends or has ended for this process.
func (s *Status) IsEnding() bool {
	return s.Detached != nil || s.Ending != nil || s.Failure != nil || s.Ended != nil
}

// IsLost reports whether the connection to a host is lost.
func (s *Status) IsLost(host string) bool {
	return slices.ContainsFunc(s.Lost, func(e Event) bool { return e.Host == host })
}

// CurrentWarning is the warning to show now; nil: none. While a connection is lost, the user cannot do what a warning
// of the end asks for.
func (s *Status) CurrentWarning() *Event {
	if s.Warning == nil || s.Warning.Ends != nil && len(s.Lost) > 0 {
		return nil
	}
	return s.Warning
}
