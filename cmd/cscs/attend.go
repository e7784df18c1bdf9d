package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/internal/live"
	"github.com/alps-tunnel/cscs/session"
)

// An attendance is what other terminals see of the session that this process attends: its
// record, and the control socket over which they ask for its end. A session is not worth
// less without them: what goes wrong with them is a warning.
type attendance struct {
	start *start

	mu    sync.Mutex
	rec   live.Record
	entry *live.Entry   // nil: another process of this machine has the record, or none can be made
	ctl   *live.Control // nil: likewise
	guest *live.Guest   // as which we are known while another process has the record
	link  string
	last  session.Event

	detached bool // the session goes on without this process

	hint string // of the error that was told last

	keeping conc.WaitGroup
	still   context.CancelFunc // nil: the attendance has not begun
}

const (
	seenEvery = 30 * time.Second // how often a record is told that its process lives
	tryEvery  = time.Second      // how often one that another process has is tried for
)

// attend begins the attendance of a session that is about to begin: the record is there
// before anything is asked of anybody.
func (s *start) attend(r live.Record) *attendance {
	a := &attendance{start: s}
	r.State, r.Begun = live.Connecting, time.Now().UTC().Truncate(time.Second)
	a.begin(r)
	return a
}

// begin makes the record and the control socket. If another process of this machine has
// them, they become ours when that has left the session.
func (a *attendance) begin(r live.Record) {
	s := a.start
	r.ID, r.Cluster, r.PID = s.id, s.cluster.Name, os.Getpid()
	r.User, r.Identity, r.Login = one(s.opts.user), one(s.opts.identity), s.login()
	a.rec = r
	var attended *live.AttendedError
	err := a.take()
	if err != nil && !errors.As(err, &attended) {
		s.emit(session.Event{Event: session.EventWarning,
			Message: "cscs ps and cscs stop will not know of this session: " + err.Error()})
	}
	if attended != nil {
		a.join()
	}
	ctx, still := context.WithCancel(context.Background())
	a.still = still
	if a.entry != nil || attended != nil {
		a.keeping.Go(func() { a.keep(ctx) })
	}
}

// take takes the record, and opens the control socket.
func (a *attendance) take() error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	store := live.Open(state)
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

// join makes this process known beside the one that has the record.
func (a *attendance) join() {
	state, err := stateDir()
	if err == nil {
		a.guest, err = live.Open(state).Join(a.rec.ID, a.rec.PID)
	}
	if err != nil {
		a.start.note("cscs ps will not tell of this process: " + err.Error())
	}
}

// keep tells the record that this process lives, or tries to get it.
func (a *attendance) keep(ctx context.Context) {
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
			if a.take() == nil { // else again soon
				a.guest.Leave()
				a.guest = nil
			}
		case time.Since(seen) >= seenEvery:
			seen = time.Now()
			a.update(func(*live.Record) bool { return true })
		}
	}
}

func (a *attendance) update(change func(*live.Record) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !change(&a.rec) || a.entry == nil {
		return
	}
	if err := a.entry.Write(a.rec); err != nil {
		a.start.note(err.Error())
	}
}

// event shows an event of the session's, and takes it into the record.
func (a *attendance) event(e session.Event) {
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
	a.update(func(r *live.Record) bool { return r.Take(e) })
	a.start.event(e)
}

// over ends the attendance: with the session, of which nothing is to be known any more, or
// without.
func (a *attendance) over(err error) {
	if a.still == nil {
		return
	}
	a.still()
	a.keeping.Wait()
	a.guest.Leave()
	if a.entry == nil {
		return
	}
	var left *session.TeardownError
	switch {
	case errors.As(err, &left):
		a.leave(live.Left, a.start.explain(left).Message)
	case a.detached:
		a.leave(a.rec.State, a.rec.Reason)
	default:
		if state, err := stateDir(); err == nil {
			noteEnded(live.Open(state), a.rec, a.last.Reason, a.last.Code)
		}
		if err := a.entry.Remove(); err != nil {
			a.start.note(err.Error())
		}
	}
	if a.ctl == nil {
		return
	}
	o := live.Outcome{Reason: a.last.Reason, Hint: a.hint, Detached: a.detached}
	if a.last.Stopped { // "from elsewhere" is not true where this is shown
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

// leave keeps the record for whoever comes next.
func (a *attendance) leave(state, reason string) {
	a.update(func(r *live.Record) bool {
		r.State, r.Reason, r.Control = state, reason, ""
		return true
	})
	a.entry.Leave()
}

// Link implements live.Controlled.
func (a *attendance) Link() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link
}

// Enter implements live.Controlled.
func (a *attendance) Enter() (string, []string) {
	way := a.start.room.Enter()
	return way.URL, way.Cookies
}

// Stop implements live.Controlled.
func (a *attendance) Stop() { a.start.signals.end(session.ErrStopped) }

// Detach implements live.Controlled.
func (a *attendance) Detach() { a.start.signals.end(session.ErrDetached) }
