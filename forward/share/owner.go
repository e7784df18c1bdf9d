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

// An master holds a place and serves its chain to those who join. It gives the place up
// when the chain is not good any more, but goes on for those who have joined.
type master struct {
	rendezvous Rendezvous
	tasks      sync.WaitGroup

	spares chan spare // taken by sharers; only Own has one

	decided chan struct{} // closed when the dial has succeeded or failed
	asking  chan struct{} // closed when it waits for a person

	mu      sync.Mutex
	held    *heldRendezvous // nil: the place is free, or another's
	chain   *chain.Chain    // nil until dialled
	hops    []string        // of the chain, by which its silence is told from that of what extends it
	silent  map[string]bool
	asked   bool
	over    bool             // the place is not taken again
	left    bool             // and the sharers know that this is for good
	ended   bool             // nobody is let in any more
	clients map[*client]bool // true: let in
	changed chan struct{}    // closed, and made anew, when a sharer comes or goes
}

// claimRendezvous takes the place and begins to listen, before there is anything to share.
func claimRendezvous(rendezvous Rendezvous) (*master, error) {
	held, err := rendezvous.lockAndListen()
	if err != nil {
		return nil, err
	}
	o := newMaster(rendezvous, held)
	o.tasks.Go(func() { o.acceptClients(held, held.listener) })
	return o, nil
}

func newMaster(rendezvous Rendezvous, held *heldRendezvous) *master {
	return &master{
		rendezvous: rendezvous, held: held,
		spares: make(chan spare), decided: make(chan struct{}), asking: make(chan struct{}), changed: make(chan struct{}),
		silent: map[string]bool{}, clients: map[*client]bool{},
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

// acceptClients serves those who join at the place, until it is given up. An error that passes is
// no reason to give it up; any other is, for another process can take it then.
func (o *master) acceptClients(held *heldRendezvous, l acceptor) {
	pause := acceptPause
	for {
		conn, err := l.AcceptUnix()
		switch {
		case err == nil:
			pause = acceptPause
		case errors.Is(err, net.ErrClosed):
			return
		case isTemporary(err):
			<-time.After(pause) // short: the next accept sees that the place was given up
			pause = min(2*pause, acceptPauseMax)
			continue
		default:
			o.mu.Lock()
			if o.held == held {
				o.releaseRendezvous()
			}
			o.mu.Unlock()
			return
		}
		s := newClient(o, conn)
		o.mu.Lock()
		refused := o.ended
		if !refused {
			o.clients[s] = false
		}
		o.mu.Unlock()
		if refused {
			s.close()
			continue
		}
		o.tasks.Go(s.serveConn)
	}
}

// isTemporary reports whether accept may work again after err: the system is short of descriptors or
// memory, or the client has gone meanwhile.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// chainOptions are those of the chain that is dialled to be shared.
func (o *master) chainOptions(opts chain.Options) chain.Options {
	silence, observe, asking := opts.Silence, opts.Observe, opts.Asking
	opts.Silence = func(hop string, silent bool) {
		o.onSilence(hop, silent)
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

// setDialResult says what came of the dial; nil: nothing.
func (o *master) setDialResult(c *chain.Chain) {
	if c == nil {
		o.endClients(errNobody)
		close(o.decided)
		return
	}
	o.mu.Lock()
	o.chain = c
	if len(o.silent) == 0 {
		o.retakeRendezvous() // if a hop was silent while the next was dialled
	}
	o.mu.Unlock()
	close(o.decided)
	o.tasks.Go(func() {
		<-c.Done()
		o.endClients(c.Err())
	})
}

// admitClient lets s in if the chain is good.
func (o *master) admitClient(s *client) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil || o.chain == nil {
		return false
	}
	o.clients[s] = true
	o.tellChange()
	return true
}

// releaseRendezvous gives the place up. The lock is held.
func (o *master) releaseRendezvous() {
	if o.held != nil {
		o.held.release()
		o.held = nil
	}
}

// onSilence is told of any hop, also of one that only this process has added.
func (o *master) onSilence(hop string, silent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Contains(o.hops, hop) {
		return
	}
	if silent {
		o.silent[hop] = true
		o.releaseRendezvous()
	} else if delete(o.silent, hop); len(o.silent) == 0 {
		o.retakeRendezvous()
	}
	o.notifyClients(silenceRequest, silenceMessage{hop, silent})
}

// retakeRendezvous takes the place again if nobody has meanwhile.
func (o *master) retakeRendezvous() {
	if o.over || o.ended || o.held != nil || o.chain == nil {
		return
	}
	held, err := o.rendezvous.lockAndListen()
	if err != nil {
		return
	}
	o.held = held
	o.tasks.Go(func() { o.acceptClients(held, held.listener) })
}

// notifyClients has all sharers told something. It waits for none of them.
func (o *master) notifyClients(request string, message any) {
	for s, in := range o.clients {
		if in {
			s.queueNote(request, message)
		}
	}
}

// announceLeaving has everybody dial anew: the chain serves its owner no more.
func (o *master) announceLeaving() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left || o.ended {
		return
	}
	o.over, o.left = true, true
	o.releaseRendezvous()
	o.notifyClients(leavingRequest, nil)
}

// announcePause has those dial anew who can: the chain may not be served for a while.
func (o *master) announcePause() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || o.ended {
		return
	}
	o.over = true
	o.releaseRendezvous()
	o.notifyClients(pausingRequest, nil)
}

// drainClients has everybody dial anew and waits until they have gone, or ctx ends.
func (o *master) drainClients(ctx context.Context) (left int) {
	o.announceLeaving()
	return o.awaitNoClients(ctx)
}

// awaitNoClients waits until nobody shares the chain any more, or ctx ends.
func (o *master) awaitNoClients(ctx context.Context) (left int) {
	for {
		o.mu.Lock()
		left, changed := o.countJoined(), o.changed
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

// countJoined counts those who were let in. The lock is held.
func (o *master) countJoined() (n int) {
	for _, in := range o.clients {
		if in {
			n++
		}
	}
	return n
}

func (o *master) clientCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.countJoined()
}

// removeClient forgets a sharer.
func (o *master) removeClient(s *client) {
	o.mu.Lock()
	defer o.mu.Unlock()
	let := o.clients[s]
	delete(o.clients, s)
	if let { // else it only called
		o.tellChange()
	}
}

// tellChange wakes those who wait for a change of the sharers. The lock is held.
func (o *master) tellChange() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// clientStatus is as Chain.Users. The place is given up if its socket was removed: no process finds it any more.
func (o *master) clientStatus() (n int, open bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held != nil && !o.held.ownsSocket() {
		o.over = true
		o.releaseRendezvous()
	}
	return o.countJoined(), o.held != nil, o.changed
}

// closeRendezvous gives the place up for good.
func (o *master) closeRendezvous() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.releaseRendezvous()
}

// endClients tells everybody why it is over, and ends their connections.
func (o *master) endClients(reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.releaseRendezvous()
	last := lostOf(reason, o.rendezvous.Host)
	for s, in := range o.clients {
		if in {
			o.tasks.Go(func() { s.sendLost(last) })
		} else {
			// It waits for an answer, or is about to ask, and gets one.
			_ = s.socket.SetDeadline(time.Now().Add(time.Second))
		}
	}
}
