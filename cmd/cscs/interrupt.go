package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// interrupts handles the signals that end a session. The first begins the teardown, the second skips its waits,
// the third ends everything at once. A fourth has its default action, so the user can always end the process.
type interrupts struct {
	ctx            context.Context // ends at the first, with cause session.ErrInterrupted
	grace, abandon context.Context // end at the second and the third

	interrupt      context.CancelCauseFunc
	endGrace       context.CancelFunc // ends grace
	graceTimer     *time.Timer        // calls endGrace before the system ends the process; nil: no limit
	mu             sync.Mutex
	steps          []func() // the remaining steps, in order
	restoreSignals func()   // restores the default signal handling after the last step
}

// newInterrupts returns interrupts without signals, until the caller calls stop.
func newInterrupts(parent context.Context) (i *interrupts, stop func()) {
	ctx, interrupt := context.WithCancelCause(parent)
	grace, endGrace := context.WithCancel(context.WithoutCancel(parent))
	abandon, leave := context.WithCancel(context.WithoutCancel(parent))
	i = &interrupts{ctx: ctx, grace: grace, abandon: abandon, interrupt: interrupt, endGrace: endGrace, restoreSignals: func() {}}
	i.steps = []func(){func() { interrupt(session.ErrInterrupted) }, endGrace, leave}
	return i, func() {
		if i.graceTimer != nil {
			i.graceTimer.Stop()
		}
		interrupt(nil)
		endGrace()
		leave()
	}
}

// hearInterrupts handles signals from now on, until the caller calls stop.
func hearInterrupts(parent context.Context) (i *interrupts, stop func()) {
	i, end := newInterrupts(parent)

	// If the reader of the output goes away (head, a closed pager), SIGPIPE must not end this process while its
	// job runs.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 8)
	heard := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		// nohup, and shells for background jobs of scripts, set a signal to be ignored. Notify would undo that.
		if !signal.Ignored(s) {
			heard = append(heard, s)
		}
	}
	signal.Notify(signals, heard...)
	i.restoreSignals = func() { signal.Stop(signals) }
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case s := <-signals:
				i.handleSignal(s, runtime.GOOS)
			case <-done:
				return
			}
		}
	})
	return i, func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
		end()
	}
}

// handleSignal handles a signal on that system (runtime.GOOS).
func (i *interrupts) handleSignal(s os.Signal, system string) {
	detaches, limit := readSignal(s, system)
	if limit > 0 {
		i.graceTimer = time.AfterFunc(limit, i.endGrace)
	}
	if detaches {
		// When a window is closed, the kernel and the shell each send one.
		i.endWithCause(session.ErrDetached)
	} else {
		i.raiseInterrupt()
	}
}

// closeTime is how long the first attempt to detach may take, with its grace period, when the console is closed.
// Windows ends the process 5 s after the event (HandlerRoutine, SetConsoleCtrlHandler). If the cluster has not received
// the detach by then, the lease counts from the last heartbeat.
const closeTime = 3 * time.Second

// readSignal reports whether a signal detaches the session on that system (runtime.GOOS). limit is the time
// after which the process must not wait any more, since the system will end it; 0: none.
//
// On Windows, Go turns CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT and CTRL_SHUTDOWN_EVENT, and nothing else, into
// syscall.SIGTERM. It turns Ctrl-C and Ctrl-Break into os.Interrupt.
func readSignal(s os.Signal, system string) (detaches bool, limit time.Duration) {
	switch {
	case s == syscall.SIGTERM && system == "windows":
		return true, closeTime
	case s == syscall.SIGHUP:
		return true, 0
	}
	return false, 0
}

// hearFirstInterrupt is for commands that leave nothing behind if they are ended at any point. The first signal asks
// the command to end, the second ends the process.
func hearFirstInterrupt(parent context.Context) (i *interrupts, stop func()) {
	i, stop = hearInterrupts(parent)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.steps = i.steps[:min(1, len(i.steps))]
	return i, stop
}

// raiseInterrupt performs the next step.
func (i *interrupts) raiseInterrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.steps) > 0 {
		i.runStep(i.steps[0])
	}
}

// runStep removes the next step and calls do instead of it. The caller holds i.mu.
func (i *interrupts) runStep(do func()) {
	if i.steps = i.steps[1:]; len(i.steps) == 0 {
		i.restoreSignals()
	}
	do()
}

// endWithCause performs the first step with this cause, unless it has been performed.
func (i *interrupts) endWithCause(cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ctx.Err() != nil {
		return
	}
	i.runStep(func() { i.interrupt(cause) })
}
