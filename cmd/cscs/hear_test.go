package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// What a signal asks for, on every system. Go makes SIGTERM of a closed console, a logoff
// and a shutdown on Windows, and SIGINT of Ctrl-C and Ctrl-Break.
func TestHear(t *testing.T) {
	for _, c := range []struct {
		signal os.Signal
		system string
		cause  error
		killed bool // the system ends the process some seconds later
	}{
		{os.Interrupt, "linux", session.ErrInterrupted, false},
		{os.Interrupt, "darwin", session.ErrInterrupted, false},
		{os.Interrupt, "windows", session.ErrInterrupted, false},
		{syscall.SIGTERM, "linux", session.ErrInterrupted, false},
		{syscall.SIGTERM, "darwin", session.ErrInterrupted, false},
		{syscall.SIGTERM, "windows", session.ErrDetached, true},
		{syscall.SIGHUP, "linux", session.ErrDetached, false},
		{syscall.SIGHUP, "darwin", session.ErrDetached, false},
	} {
		t.Run(c.system+" "+c.signal.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, stop := newInterrupts(t.Context())
				defer stop()
				i.handleSignal(c.signal, c.system)
				if cause := context.Cause(i.ctx); !errors.Is(cause, c.cause) {
					t.Errorf("the cause is %v, want %v", cause, c.cause)
				}
				if i.grace.Err() != nil {
					t.Error("one signal did the work of two")
				}
				// Windows ends a process 5 s after its console was closed.
				time.Sleep(4 * time.Second) //nolint:forbidigo // of the bubble's time
				if ended := i.grace.Err() != nil; ended != c.killed {
					t.Errorf("the grace period has ended: %v, want %v", ended, c.killed)
				}
				if i.abandon.Err() != nil {
					t.Error("one signal did the work of three")
				}
			})
		})
	}
}

// A console that is closed while the session ends: its grace period ends, and it is not left.
func TestHearCloseWhileEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, stop := newInterrupts(t.Context())
		defer stop()
		i.handleSignal(os.Interrupt, "windows")
		i.handleSignal(syscall.SIGTERM, "windows")
		if cause := context.Cause(i.ctx); !errors.Is(cause, session.ErrInterrupted) {
			t.Errorf("the cause is %v", cause)
		}
		time.Sleep(4 * time.Second) //nolint:forbidigo // of the bubble's time
		if i.grace.Err() == nil {
			t.Error("it waits until the system ends it")
		}
	})
}
