package main

import (
	"context"
	"errors"
	"io"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// liveKeys are what the keys of the live view can do in a command.
type liveKeys struct {
	log, detach bool
	stays       bool // Ctrl-C leaves the session running
}

// startLiveView shows the session that is about to begin as it goes on, on a terminal, until stop is
// called. What its keys do is what the commands of their names do.
func (s *start) startLiveView(k liveKeys) (stop func()) {
	text, ok := s.printer.(*ui.Text)
	if !ok || s.opts.detach {
		return func() {}
	}
	l := ui.Live{Keys: s.ask, Gauge: &s.gauge, Stays: k.stays, Suspend: s.way.pauseSharing}
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

// liveLines is how much of a log is shown of the time before one asked for it.
const liveLines = 10

// liveLog shows the log from its last lines on, until ctx or the session ends: it shares
// the session's connection, which must not wait for it.
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

// inWords is the error as a person is told of it.
func (s *start) inWords(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(s.explainError(err).Message)
}
