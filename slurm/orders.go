package slurm

import "sync"

// orders are the client's orders to a submission whose events it reads. They apply to every Submit
// or Follow of it, now and later.
type orders struct{ withdraw, detach order }

// An order is given at most once. The zero value is an order that was not given.
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

// done returns a channel that is closed when the order is given.
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

// Withdraw takes the request back while it is pending. A granted job is left to Stop, and no more
// events are read then.
func (s *Submission) Withdraw() { s.orders.withdraw.giveOrder() }

// Detach leaves the session to run without this client: a pending request in Slurm, a running job
// under its lease. Submit or Follow then ends with Outcome.Detached. If the request cannot be left
// alone (ViaSalloc), a Note reports that, and the submission continues.
func (s *Submission) Detach() { s.orders.detach.giveOrder() }
