//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/session"
)

func TestInterrupts(t *testing.T) {
	i, stop := hearInterrupts(t.Context())
	defer stop()
	await := func(ctx context.Context) {
		t.Helper()
		waittest.Receive(t, 10*time.Second, "the effect of the signal", ctx.Done())
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
	i.handleSignal(syscall.SIGHUP, runtime.GOOS) // of the same closed window; called, so that it is handled when it returns
	if !errors.Is(context.Cause(i.ctx), session.ErrDetached) {
		t.Errorf("the cause is %v", context.Cause(i.ctx))
	}
	if i.grace.Err() != nil || i.abandon.Err() != nil {
		t.Error("a second SIGHUP did the work of a second Ctrl-C")
	}
	send(syscall.SIGTERM)
	await(i.grace)
	if i.abandon.Err() != nil {
		t.Error("two signals did the work of three")
	}
	i.raiseInterrupt() // as a Ctrl-C at a prompt does
	await(i.abandon)
	i.raiseInterrupt() // nothing more to end
}

// TestInterruptEnds: a command that is stuck in something which hears of no signal is ended by
// the second.
func TestInterruptEnds(t *testing.T) {
	if os.Getenv("CSCS_TEST_STUCK") != "" {
		i, _ := hearFirstInterrupt(t.Context())
		fmt.Fprintln(os.Stderr, "hears") // the other process waits for it
		<-i.ctx.Done()
		fmt.Fprintln(os.Stderr, "heard")
		select {}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestInterruptEnds$")
	cmd.Env = append(os.Environ(), "CSCS_TEST_STUCK=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"hears", "heard"} {
		var got string
		if _, err := fmt.Fscan(out, &got); got != word {
			t.Fatalf("it says %q, %v", got, err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}
