package main

import (
	"context"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/session"
)

// notifyTimeout bounds what a desktop that does not answer may cost at a session's end.
const notifyTimeout = 3 * time.Second

// A desktopNotifier is shown what must not be missed.
type desktopNotifier struct{ showing conc.WaitGroup }

func (d *desktopNotifier) wait() { d.showing.Wait() }

// notifyDesktop shows on the desktop that the session's time is running out: what stands in a
// terminal behind the browser nobody reads in time. It is for people, and so only where the
// terminal is one; whether it works is nobody's worry.
func (s *start) notifyDesktop(e session.Event) {
	if e.Event != session.EventWarning || e.Ends == nil || s.opts.noNotify || s.opts.json || !s.deps.io.ErrTTY {
		return
	}
	s.desktop.showing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
		defer cancel()
		_ = s.deps.notify(ctx, "cscs on "+s.cluster.Name, e.Message)
	})
}
