package slurm

import "sync"

// commands are what the client tells a submission whose events it reads. They apply to every Submit
// or Follow of it, now and later.
type commands struct{ withdraw, detach latch }

// A latch is set at most once. The zero value is not set.
type latch struct {
	making, closing sync.Once
	c               chan struct{}
}

func (l *latch) set() {
	l.done()
	l.closing.Do(func() { close(l.c) })
}

// done returns a channel that is closed when the latch is set.
func (l *latch) done() <-chan struct{} {
	l.making.Do(func() { l.c = make(chan struct{}) })
	return l.c
}

func (l *latch) isSet() bool {
	select {
	case <-l.done():
		return true
	default:
		return false
	}
}

// Withdraw takes the request back while it is pending. A granted job is left to Stop, and no more
// events are read then.
func (s *Submission) Withdraw() { s.commands.withdraw.set() }

// Detach leaves the session to run without this client: a pending request in Slurm, a running job
// under its lease. Submit or Follow then ends with Outcome.Detached. If the request cannot be left
// alone (ViaSalloc), a Note reports that, and the submission continues.
func (s *Submission) Detach() { s.commands.detach.set() }
