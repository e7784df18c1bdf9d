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

// interrupts hears the signals that ask for the end: the first begins the
// teardown, the second ends all patience in it, the third ends everything at once. A fourth does
// what it does to any program: whatever it is that does not end, it shall not keep the user.
type interrupts struct {
	ctx            context.Context // ends with the first, by session.ErrInterrupted
	hurry, abandon context.Context // end with the second and the third

	interrupt      context.CancelCauseFunc
	hasten         context.CancelFunc // ends hurry
	hurryTimer     *time.Timer        // calls hasten before the system ends the process; nil: it does not
	mu             sync.Mutex
	steps          []func() // what is left to be done, in order
	restoreSignals func()   // has the signals be the system's after that
}

// newInterrupts makes them, without any signal, until stop is called.
func newInterrupts(parent context.Context) (i *interrupts, stop func()) {
	ctx, interrupt := context.WithCancelCause(parent)
	hurry, hasten := context.WithCancel(context.WithoutCancel(parent))
	abandon, leave := context.WithCancel(context.WithoutCancel(parent))
	i = &interrupts{ctx: ctx, hurry: hurry, abandon: abandon, interrupt: interrupt, hasten: hasten, restoreSignals: func() {}}
	i.steps = []func(){func() { interrupt(session.ErrInterrupted) }, hasten, leave}
	return i, func() {
		if i.hurryTimer != nil {
			i.hurryTimer.Stop()
		}
		interrupt(nil)
		hasten()
		leave()
	}
}

// hearInterrupts hears them from now on, until stop is called.
func hearInterrupts(parent context.Context) (i *interrupts, stop func()) {
	i, end := newInterrupts(parent)

	// A reader of our output that goes away (head, a closed pager) must not
	// kill us by SIGPIPE with a job on the cluster.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 8)
	heard := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		// nohup, and a shell that starts a job in the background of a script, have the program
		// ignore a signal. Notify would undo that.
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

// handleSignal does what a signal asks for on that system (runtime.GOOS).
func (i *interrupts) handleSignal(s os.Signal, system string) {
	detaches, limit := readSignal(s, system)
	if limit > 0 {
		i.hurryTimer = time.AfterFunc(limit, i.hasten)
	}
	if detaches {
		// The kernel and the shell each send one when a window is closed.
		i.endWithCause(session.ErrDetached)
	} else {
		i.raiseInterrupt()
	}
}

// closeTime is how long the first, patient attempt to detach may take when the console is
// closed. Windows ends the process 5 s after the event (HandlerRoutine, SetConsoleCtrlHandler).
// If the cluster does not know by then that the session is left, the lease counts from the last
// heartbeat.
const closeTime = 3 * time.Second

// readSignal reports whether a signal leaves a session running on that system (runtime.GOOS), and
// within which time the process must be done, since the system ends it; 0: no limit.
//
// On Windows, Go makes syscall.SIGTERM of CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT and
// CTRL_SHUTDOWN_EVENT, and of nothing else; of Ctrl-C and Ctrl-Break it makes os.Interrupt.
func readSignal(s os.Signal, system string) (detaches bool, limit time.Duration) {
	switch {
	case s == syscall.SIGTERM && system == "windows":
		return true, closeTime
	case s == syscall.SIGHUP:
		return true, 0
	}
	return false, 0
}

// hearInterrupt is for commands that leave nothing behind, wherever they are ended: the first
// signal asks them to, the second ends the process.
func hearInterrupt(parent context.Context) (i *interrupts, stop func()) {
	i, stop = hearInterrupts(parent)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.steps = i.steps[:min(1, len(i.steps))]
	return i, stop
}

// raiseInterrupt does the next step.
func (i *interrupts) raiseInterrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.steps) > 0 {
		i.runStep(i.steps[0])
	}
}

// runStep does what is next, by the way that is given. i.mu is held.
func (i *interrupts) runStep(do func()) {
	if i.steps = i.steps[1:]; len(i.steps) == 0 {
		i.restoreSignals()
	}
	do()
}

// endWithCause does the first step for another cause than a signal's, if that was not done yet.
func (i *interrupts) endWithCause(cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ctx.Err() != nil {
		return
	}
	i.runStep(func() { i.interrupt(cause) })
}
