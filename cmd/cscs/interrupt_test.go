//go:build unix

package main

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

func TestInterrupts(t *testing.T) {
	i, stop := hearInterrupts(t.Context())
	defer stop()
	await := func(ctx context.Context) {
		t.Helper()
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the signal was not heard")
		}
	}
	send := func(s syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(syscall.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGPIPE) // must not end us
	send(syscall.SIGHUP)
	await(i.ctx)
	send(syscall.SIGHUP) // of the same closed window
	if !errors.Is(context.Cause(i.ctx), session.ErrDetached) {
		t.Errorf("the cause is %v", context.Cause(i.ctx))
	}
	if i.hurry.Err() != nil || i.abandon.Err() != nil {
		t.Error("one signal did the work of more")
	}
	select {
	case <-i.hurry.Done():
		t.Error("a second SIGHUP did the work of a second Ctrl-C")
	case <-time.After(100 * time.Millisecond):
	}
	send(syscall.SIGTERM)
	await(i.hurry)
	if i.abandon.Err() != nil {
		t.Error("two signals did the work of three")
	}
	i.raise() // as a Ctrl-C at a prompt does
	await(i.abandon)
	i.raise() // nothing more to end
}
