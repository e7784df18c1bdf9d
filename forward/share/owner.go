package share

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// An owner holds a place and serves its chain to those who join. It gives the place up
// when the chain is not good any more, but goes on for those who have joined.
type owner struct {
	place Place
	tasks sync.WaitGroup

	spares chan spare // taken by sharers; only Own has one

	decided chan struct{} // closed when the dial has succeeded or failed
	asking  chan struct{} // closed when it waits for a person

	mu      sync.Mutex
	held    *held        // nil: the place is free, or another's
	chain   *chain.Chain // nil until dialled
	hops    []string     // of the chain, by which its silence is told from that of what extends it
	silent  map[string]bool
	asked   bool
	over    bool             // the place is not taken again
	left    bool             // and the sharers know that this is for good
	ended   bool             // nobody is let in any more
	sharers map[*sharer]bool // true: let in
	changed chan struct{}    // closed, and made anew, when a sharer comes or goes
}

// claim takes the place and begins to listen, before there is anything to share.
func claim(place Place) (*owner, error) {
	held, err := place.take()
	if err != nil {
		return nil, err
	}
	o := newOwner(place, held)
	o.tasks.Go(func() { o.accept(held, held.listener) })
	return o, nil
}

func newOwner(place Place, held *held) *owner {
	return &owner{
		place: place, held: held,
		spares: make(chan spare), decided: make(chan struct{}), asking: make(chan struct{}), changed: make(chan struct{}),
		silent: map[string]bool{}, sharers: map[*sharer]bool{},
	}
}

// An acceptor is the listener of a place.
type acceptor interface {
	AcceptUnix() (*net.UnixConn, error)
}

// Pauses after an accept that failed for want of descriptors or memory.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = 100 * time.Millisecond
)

// accept serves those who join at the place, until it is given up. An error that passes is
// no reason to give it up; any other is, for another process can take it then.
func (o *owner) accept(held *held, l acceptor) {
	pause := acceptPause
	for {
		conn, err := l.AcceptUnix()
		switch {
		case err == nil:
			pause = acceptPause
		case errors.Is(err, net.ErrClosed):
			return
		case passes(err):
			<-time.After(pause) // short: the next accept sees that the place was given up
			pause = min(2*pause, acceptPauseMax)
			continue
		default:
			o.mu.Lock()
			if o.held == held {
				o.yield()
			}
			o.mu.Unlock()
			return
		}
		s := newSharer(o, conn)
		o.mu.Lock()
		refused := o.ended
		if !refused {
			o.sharers[s] = false
		}
		o.mu.Unlock()
		if refused {
			s.close()
			continue
		}
		o.tasks.Go(s.run)
	}
}

// passes reports whether accept may work again after err: the system is short of descriptors or
// memory, or the client has gone meanwhile.
func passes(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// options are those of the chain that is dialled to be shared.
func (o *owner) options(opts chain.Options) chain.Options {
	silence, observe, asking := opts.Silence, opts.Observe, opts.Asking
	opts.Silence = func(hop string, silent bool) {
		o.silence(hop, silent)
		silence(hop, silent)
	}
	opts.Observe = func(hop string, connected bool) {
		o.mu.Lock()
		if o.chain == nil && connected {
			o.hops = append(o.hops, hop)
		}
		o.mu.Unlock()
		observe(hop, connected)
	}
	opts.Asking = func() {
		o.mu.Lock()
		if !o.asked {
			o.asked = true
			close(o.asking)
		}
		o.mu.Unlock()
		asking()
	}
	return opts
}

// dialled says what came of the dial; nil: nothing.
func (o *owner) dialled(c *chain.Chain) {
	if c == nil {
		o.end(errNobody)
		close(o.decided)
		return
	}
	o.mu.Lock()
	o.chain = c
	if len(o.silent) == 0 {
		o.retake() // if a hop was silent while the next was dialled
	}
	o.mu.Unlock()
	close(o.decided)
	o.tasks.Go(func() {
		<-c.Done()
		o.end(c.Err())
	})
}

// admit lets s in if the chain is good.
func (o *owner) admit(s *sharer) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil || o.chain == nil {
		return false
	}
	o.sharers[s] = true
	o.tellChange()
	return true
}

// yield gives the place up. The lock is held.
func (o *owner) yield() {
	if o.held != nil {
		o.held.release()
		o.held = nil
	}
}

// silence is told of any hop, also of one that only this process has added.
func (o *owner) silence(hop string, silent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Contains(o.hops, hop) {
		return
	}
	if silent {
		o.silent[hop] = true
		o.yield()
	} else if delete(o.silent, hop); len(o.silent) == 0 {
		o.retake()
	}
	o.tell(silenceRequest, silenceMessage{hop, silent})
}

// retake takes the place again if nobody has meanwhile.
func (o *owner) retake() {
	if o.over || o.ended || o.held != nil || o.chain == nil {
		return
	}
	held, err := o.place.take()
	if err != nil {
		return
	}
	o.held = held
	o.tasks.Go(func() { o.accept(held, held.listener) })
}

// tell has all sharers told something. It waits for none of them.
func (o *owner) tell(request string, message any) {
	for s, in := range o.sharers {
		if in {
			s.tell(request, message)
		}
	}
}

// abandon has everybody dial anew: the chain serves its owner no more.
func (o *owner) abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left || o.ended {
		return
	}
	o.over, o.left = true, true
	o.yield()
	o.tell(leavingRequest, nil)
}

// pause has those dial anew who can: the chain may not be served for a while.
func (o *owner) pause() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || o.ended {
		return
	}
	o.over = true
	o.yield()
	o.tell(pausingRequest, nil)
}

// leave has everybody dial anew and waits until they have gone, or ctx ends.
func (o *owner) leave(ctx context.Context) (left int) {
	o.abandon()
	return o.empty(ctx)
}

// empty waits until nobody shares the chain any more, or ctx ends.
func (o *owner) empty(ctx context.Context) (left int) {
	for {
		o.mu.Lock()
		left, changed := o.present(), o.changed
		o.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return left
		}
	}
}

// present counts those who were let in. The lock is held.
func (o *owner) present() (n int) {
	for _, in := range o.sharers {
		if in {
			n++
		}
	}
	return n
}

func (o *owner) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.present()
}

// leaves forgets a sharer.
func (o *owner) leaves(s *sharer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	let := o.sharers[s]
	delete(o.sharers, s)
	if let { // else it only called
		o.tellChange()
	}
}

// tellChange wakes those who wait for a change of the sharers. The lock is held.
func (o *owner) tellChange() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// users is as Chain.Users. The place is given up if its socket was removed: no process finds it any more.
func (o *owner) users() (n int, open bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held != nil && !o.held.ours() {
		o.over = true
		o.yield()
	}
	return o.present(), o.held != nil, o.changed
}

// shut gives the place up for good.
func (o *owner) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.yield()
}

// end tells everybody why it is over, and ends their connections.
func (o *owner) end(reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.yield()
	last := lostOf(reason, o.place.Host)
	for s, in := range o.sharers {
		if in {
			o.tasks.Go(func() { s.lose(last) })
		} else {
			// It waits for an answer, or is about to ask, and gets one.
			_ = s.socket.SetDeadline(time.Now().Add(time.Second))
		}
	}
}
