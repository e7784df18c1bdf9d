package main

import (
	"context"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/session"
)

// notifyTimeout is how long an unresponsive desktop may delay the end of a session.
const notifyTimeout = 3 * time.Second

// A desktopNotifier runs the desktop notifications.
type desktopNotifier struct{ showing conc.WaitGroup }

func (d *desktopNotifier) wait() { d.showing.Wait() }

// notifyDesktop shows on the desktop that the session's time runs out, since the browser may hide the terminal.
// It does so only if standard error is a terminal, and ignores errors.
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
