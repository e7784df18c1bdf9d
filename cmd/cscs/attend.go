package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/session"
)

// An attendance is what other terminals see of the session that this process attends: its record, and the
// control socket over which they stop it. The session works without them, so their errors are warnings.
type attendance struct {
	start *start

	mu    sync.Mutex
	rec   registry.Record
	entry *registry.Entry   // nil: another process of this machine has the record, or it cannot be made
	ctl   *registry.Control // nil: as for entry
	guest *registry.Guest   // registers this process while another one has the record
	link  string
	last  session.Event

	detached bool // the session continues without this process

	hint string // hint of the last error event

	tasks  conc.WaitGroup
	cancel context.CancelFunc // nil: the attendance has not begun
}

const (
	seenEvery = 30 * time.Second // how often the record is renewed
	tryEvery  = time.Second      // how often this process tries to get another's record
)

// beginAttendance publishes the record of a session that is about to begin, before any host is contacted.
func (s *start) beginAttendance(r registry.Record) *attendance {
	a := &attendance{start: s}
	r.State, r.Begun = registry.Connecting, time.Now().UTC().Truncate(time.Second)
	a.publishRecord(r)
	return a
}

// publishRecord makes the record and the control socket. If another process of this machine has them, this
// process gets them when that one leaves the session.
func (a *attendance) publishRecord(r registry.Record) {
	s := a.start
	r.ID, r.Cluster, r.PID = s.id, s.cluster.Name, os.Getpid()
	r.User, r.Identity, r.Login = s.opts.user, s.opts.identity, s.route.Login().User
	a.rec = r
	var attended *registry.AttendedError
	err := a.takeRecord()
	if err != nil && !errors.As(err, &attended) {
		s.emitEvent(session.Event{Event: session.EventWarning,
			Message: "cscs ps and cscs stop will not know of this session: " + err.Error()})
	}
	if attended != nil {
		a.joinAsGuest()
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if a.entry != nil || attended != nil {
		a.tasks.Go(func() { a.maintainRecord(ctx) })
	}
}

// takeRecord takes the record and opens the control socket.
func (a *attendance) takeRecord() error {
	state, err := paths.StateDir()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	store := registry.Open(state)
	entry, err := store.Take(a.rec)
	if err != nil {
		return err
	}
	a.entry = entry
	if a.ctl, err = entry.Serve(a); err != nil {
		return err
	}
	a.rec.Control = a.ctl.Path()
	return entry.Write(a.rec)
}

// joinAsGuest registers this process beside the one that has the record.
func (a *attendance) joinAsGuest() {
	state, err := paths.StateDir()
	if err == nil {
		a.guest, err = registry.Open(state).Join(a.rec.ID, a.rec.PID)
	}
	if err != nil {
		a.start.note("cscs ps will not tell of this process: " + err.Error())
	}
}

// maintainRecord renews the record regularly, or tries to get it, until ctx ends.
func (a *attendance) maintainRecord(ctx context.Context) {
	tick := time.NewTicker(tryEvery)
	defer tick.Stop()
	var seen time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.mu.Lock()
		have := a.entry != nil
		a.mu.Unlock()
		switch {
		case !have:
			if a.takeRecord() == nil { // otherwise the next tick tries again
				a.guest.Leave()
				a.guest = nil
			}
		case time.Since(seen) >= seenEvery:
			seen = time.Now()
			a.updateRecord(func(*registry.Record) bool { return true })
		}
	}
}

func (a *attendance) updateRecord(change func(*registry.Record) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !change(&a.rec) || a.entry == nil {
		return
	}
	if err := a.entry.Write(a.rec); err != nil {
		a.start.note(err.Error())
	}
}

// handleEvent shows an event of the session and updates the record.
func (a *attendance) handleEvent(e session.Event) {
	a.mu.Lock()
	a.last = e
	switch e.Event {
	case session.EventQueued, session.EventGranted, session.EventReady:
		a.link = e.Link
	case session.EventWarning:
		a.link = cmp.Or(e.Link, a.link)
	case session.EventError:
		a.hint = e.Hint
	case session.EventDetached:
		a.detached = true
	}
	a.mu.Unlock()
	a.updateRecord(func(r *registry.Record) bool { return r.Take(e) })
	a.start.showEvent(e)
}

// endAttendance ends the attendance and removes the record. It keeps the record if the session was detached or
// its teardown failed.
func (a *attendance) endAttendance(err error) {
	if a.cancel == nil {
		return
	}
	a.cancel()
	a.tasks.Wait()
	a.guest.Leave()
	if a.entry == nil {
		return
	}
	var left *session.TeardownError
	switch {
	case errors.As(err, &left):
		a.leaveRecord(registry.Left, a.start.explainError(left).Message)
	case a.detached:
		a.leaveRecord(a.rec.State, a.rec.Reason)
	default:
		id := ""
		if err != nil {
			id = a.start.explainError(err).ID
		}
		if state, err := paths.StateDir(); err == nil {
			noteEnded(registry.Open(state), a.rec, a.last.Reason, a.last.Code, id)
		}
		if err := a.entry.Remove(); err != nil {
			a.start.note(err.Error())
		}
	}
	if a.ctl == nil {
		return
	}
	o := registry.Outcome{Reason: a.last.Reason, Hint: a.hint, Detached: a.detached}
	if a.last.Stopped { // its reason names another terminal, which is wrong in that one
		o.Reason = "stopped"
		if a.rec.Job != "" {
			o.Reason += ": job " + a.rec.Job + " has ended"
		}
	}
	if a.last.Code != nil {
		o.Code = *a.last.Code
	}
	a.ctl.Close(o)
	a.entry.Tidy()
}

// leaveRecord keeps the record for cscs attach and cscs stop, and releases its lock.
func (a *attendance) leaveRecord(state, reason string) {
	a.updateRecord(func(r *registry.Record) bool {
		r.State, r.Reason, r.Control = state, reason, ""
		return true
	})
	a.entry.Leave()
}

// Link implements registry.Controlled.
func (a *attendance) Link() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link
}

// Enter implements registry.Controlled.
func (a *attendance) Enter() (string, []string) {
	way := a.start.room.Enter()
	return way.URL, way.Cookies
}

// Stop implements registry.Controlled.
func (a *attendance) Stop() { a.start.signals.endWithCause(session.ErrStopped) }

// Detach implements registry.Controlled.
func (a *attendance) Detach() { a.start.signals.endWithCause(session.ErrDetached) }
