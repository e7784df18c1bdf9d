package main

import (
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
	entry *live.Entry // nil: there is no record
	ctl   *live.Control

	mu   sync.Mutex
	link string
	end  session.Event // the last one

	beats conc.WaitGroup
	still context.CancelFunc
}

// seenEvery is how often a record is told that its process lives.
const seenEvery = 30 * time.Second

// attend makes the record of the session, before anything is asked of anybody, and opens
// its control socket.
func (s *start) attend(r live.Record) *attendance {
	a := &attendance{start: s, still: func() {}}
	r.ID, r.Cluster, r.PID, r.State = s.id, s.cluster.Name, os.Getpid(), live.Connecting
	if r.Begun.IsZero() {
		r.Begun = time.Now().UTC().Truncate(time.Second)
	}
	r.User, r.Identity = one(s.opts.user), one(s.opts.identity)
	state, err := stateDir()
	if err == nil {
		a.entry, err = live.Open(state).Take(r)
	}
	if err != nil {
		a.unrecorded(err)
		return a
	}
	a.ctl, err = live.Serve(live.Open(state).Dir(), s.id, a)
	if err != nil {
		a.unrecorded(err)
	} else {
		a.update(func(r *live.Record) bool { r.Control = a.ctl.Path(); return true })
	}
	ctx, still := context.WithCancel(context.Background())
	a.still = still
	a.beats.Go(func() {
		tick := time.NewTicker(seenEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = a.entry.Update(func(*live.Record) bool { return true }) // tried again soon
			}
		}
	})
	return a
}

func (a *attendance) unrecorded(err error) {
	a.start.emit(session.Event{Event: session.EventWarning,
		Message: "cscs ps and cscs stop will not know of this session: " + err.Error()})
}

func (a *attendance) update(change func(*live.Record) bool) {
	if a.entry == nil {
		return
	}
	if err := a.entry.Update(change); err != nil {
		a.start.note(err.Error())
	}
}

// event shows an event of the session's, and takes it into the record.
func (a *attendance) event(e session.Event) {
	a.mu.Lock()
	a.end = e
	if e.Event == session.EventReady {
		a.link = e.Link
	}
	a.mu.Unlock()
	a.update(func(r *live.Record) bool { return r.Take(e) })
	a.start.event(e)
}

// over is the end of the attendance: with the session, after which nothing is to be known
// of it, or without.
func (a *attendance) over(err error) {
	a.still()
	a.beats.Wait()
	if a.entry == nil {
		return
	}
	var left *session.TeardownError
	if errors.As(err, &left) {
		a.update(func(r *live.Record) bool {
			r.State, r.Reason, r.PID, r.Control = live.Left, left.Error(), 0, ""
			return true
		})
		a.entry.Leave()
	} else if err := a.entry.Remove(); err != nil {
		a.start.note(err.Error())
	}
	if a.ctl == nil {
		return
	}
	a.mu.Lock()
	o := live.Outcome{Reason: a.end.Reason}
	if a.end.Code != nil {
		o.Code = *a.end.Code
	}
	a.mu.Unlock()
	a.ctl.Close(o)
}

// Link implements live.Controlled.
func (a *attendance) Link() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link
}

// Stop implements live.Controlled.
func (a *attendance) Stop() { a.start.signals.end(session.ErrStopped) }

// Detach implements live.Controlled.
func (a *attendance) Detach() { a.start.signals.end(session.ErrDetached) }
