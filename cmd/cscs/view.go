package main

import (
	"context"
	"errors"
	"io"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// liveKeys says which keys the live view of a command has.
type liveKeys struct {
	log, detach bool
	stays       bool // Ctrl-C leaves the session running
}

// startLiveView shows the session on the terminal until the caller calls stop. Each key does what the command
// of the same name does.
func (s *start) startLiveView(k liveKeys) (stop func()) {
	text, ok := s.printer.(*ui.Text)
	if !ok {
		return func() {}
	}
	l := ui.Live{Keys: s.ask, Gauge: &s.gauge, Stays: k.stays, Suspend: s.route.PauseSharing}
	if browser.CanOpen() {
		l.Open = func(ctx context.Context, _ string) error { return s.inWords(browser.Open(ctx, s.room.Enter)) }
	}
	if k.log {
		l.Log = s.liveLog
	}
	if k.detach {
		l.Detach = func() { s.signals.endWithCause(session.ErrDetached) }
	}
	return text.Live(l)
}

// liveLines is the number of earlier lines that the log view shows.
const liveLines = 10

// liveLog shows the log, beginning with its last lines, until ctx or the session ends. It uses the session's
// connection, which must not wait for it.
func (s *start) liveLog(ctx context.Context, to io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.signals.ctx, cancel)()
	err := s.showLog(ctx, to, s.id, liveLines, true)
	if ctx.Err() != nil {
		return nil
	}
	return s.inWords(err)
}

// inWords returns err with the message for users.
func (s *start) inWords(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(s.explainError(err).Message)
}
