package slurm

import "sync"

// orders are what a client may ask of a submission whose events it reads. They hold for
// whichever Submit or Follow reads then and later.
type orders struct{ withdraw, detach order }

// An order is given once. The zero value is one that was not given.
type order struct {
	mu sync.Mutex
	c  chan struct{}
}

func (o *order) giveOrder() {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case <-o.ensureChannel():
	default:
		close(o.c)
	}
}

// done is closed when the order is given.
func (o *order) done() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ensureChannel()
}

func (o *order) isGiven() bool {
	select {
	case <-o.done():
		return true
	default:
		return false
	}
}

func (o *order) ensureChannel() chan struct{} {
	if o.c == nil {
		o.c = make(chan struct{})
	}
	return o.c
}

// Withdraw takes the request back while it is pending; one that was granted is left to
// Stop, and no more events are read then.
func (s *Submission) Withdraw() { s.orders.withdraw.giveOrder() }

// Detach lets the session go on without this client: a request that is pending is left to
// wait in Slurm, a job to run, under its lease. Submit or Follow then ends with
// Outcome.Detached. Where the request cannot be left alone (ViaSalloc), a Note says so,
// and all goes on.
func (s *Submission) Detach() { s.orders.detach.giveOrder() }
