package share

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// sharingProcess holds a rendezvous and serves its chain to the clients. It releases the
// rendezvous when the chain is no longer good, but continues to serve those that have joined.
type sharingProcess struct {
	rendezvous Rendezvous
	tasks      sync.WaitGroup

	spares chan spare // only Own fills it

	decided chan struct{} // closed when the dial has succeeded or failed
	asking  chan struct{} // closed when the dial waits for a person
	asked   sync.Once     // closes asking

	mu      sync.Mutex
	held    *heldRendezvous // nil if the rendezvous is free or has another sharing process
	chain   *chain.Chain    // nil until dialled
	hops    []string        // of the chain; the silence of hops that extend it is not passed on
	silent  map[string]bool
	over    bool             // the rendezvous is not taken again
	left    bool             // the clients were told to leave for good
	ended   bool             // no client is admitted any more
	clients map[*client]bool // true if admitted
	changed chan struct{}    // closed and replaced when a client comes or goes
}

// claimRendezvous takes the rendezvous and begins to listen, before there is a chain to share.
func claimRendezvous(rendezvous Rendezvous) (*sharingProcess, error) {
	held, err := rendezvous.lockAndListen()
	if err != nil {
		return nil, err
	}
	o := newSharingProcess(rendezvous, held)
	o.tasks.Go(func() { o.acceptClients(held, held.listener) })
	return o, nil
}

func newSharingProcess(rendezvous Rendezvous, held *heldRendezvous) *sharingProcess {
	return &sharingProcess{
		rendezvous: rendezvous, held: held,
		spares: make(chan spare), decided: make(chan struct{}), asking: make(chan struct{}), changed: make(chan struct{}),
		silent: map[string]bool{}, clients: map[*client]bool{},
	}
}

// An acceptor is the listener of a rendezvous. It is an interface for tests.
type acceptor interface {
	AcceptUnix() (*net.UnixConn, error)
}

// Pauses after an accept that failed for lack of descriptors or memory.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = 100 * time.Millisecond
)

// acceptClients serves the processes that connect, until the rendezvous is released. It retries
// after a temporary error. After any other error it releases the rendezvous, so that another
// process can take it.
func (o *sharingProcess) acceptClients(held *heldRendezvous, l acceptor) {
	pause := acceptPause
	for {
		conn, err := l.AcceptUnix()
		switch {
		case err == nil:
			pause = acceptPause
		case errors.Is(err, net.ErrClosed):
			return
		case isTemporary(err):
			<-time.After(pause) // not interrupted: it is short, and the next accept notices the release
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

// isTemporary reports whether accept may work again after err: the system is short of descriptors
// or memory, or the client has already gone.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// chainOptions returns opts for the chain to be shared, whose callbacks inform the sharing process.
func (o *sharingProcess) chainOptions(opts chain.Options) chain.Options {
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
		o.asked.Do(func() { close(o.asking) })
		asking()
	}
	return opts
}

// setDialResult records the dialled chain; nil means that the dial failed.
func (o *sharingProcess) setDialResult(c *chain.Chain) {
	if c == nil {
		o.endClients(errNobody)
		close(o.decided)
		return
	}
	o.mu.Lock()
	o.chain = c
	if len(o.silent) == 0 {
		o.retakeRendezvous() // a hop may have been silent while the next was dialled
	}
	o.mu.Unlock()
	close(o.decided)
	o.tasks.Go(func() {
		<-c.Done()
		o.endClients(c.Err())
	})
}

// admitClient admits s if the chain is good, and reports whether it did.
func (o *sharingProcess) admitClient(s *client) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil || o.chain == nil {
		return false
	}
	o.clients[s] = true
	o.tellChange()
	return true
}

// releaseRendezvous releases the rendezvous. The caller holds o.mu.
func (o *sharingProcess) releaseRendezvous() {
	if o.held != nil {
		o.held.release()
		o.held = nil
	}
}

// onSilence handles a silence or its end. It ignores hops that only this process has added.
func (o *sharingProcess) onSilence(hop string, silent bool) {
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
	o.notifyClients(silenceRequest, ssh.Marshal(silenceMessage{hop, silent}))
}

// retakeRendezvous takes the rendezvous again if it is free. The caller holds o.mu.
func (o *sharingProcess) retakeRendezvous() {
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

// notifyClients queues a request for every admitted client and never blocks. The caller holds o.mu.
func (o *sharingProcess) notifyClients(request string, payload []byte) {
	for s, in := range o.clients {
		if in {
			s.queueNote(note{request, payload})
		}
	}
}

// announceLeaving asks all clients to dial anew, because the sharing process no longer uses the
// chain.
func (o *sharingProcess) announceLeaving() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left || o.ended {
		return
	}
	o.over, o.left = true, true
	o.releaseRendezvous()
	o.notifyClients(leavingRequest, nil)
}

// announcePause asks the clients that can move to dial anew, since the sharing process may stop for
// a while.
func (o *sharingProcess) announcePause() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || o.ended {
		return
	}
	o.over = true
	o.releaseRendezvous()
	o.notifyClients(pausingRequest, nil)
}

// awaitNoClients waits until no client is left, or ctx ends. It returns how many remain.
func (o *sharingProcess) awaitNoClients(ctx context.Context) (left int) {
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

// countJoined returns the number of admitted clients. The caller holds o.mu.
func (o *sharingProcess) countJoined() (n int) {
	for _, in := range o.clients {
		if in {
			n++
		}
	}
	return n
}

func (o *sharingProcess) clientCount() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.countJoined()
}

// removeClient removes a client whose connection has ended.
func (o *sharingProcess) removeClient(s *client) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.clients[s] { // otherwise it was never counted
		o.tellChange()
	}
	delete(o.clients, s)
}

// tellChange wakes the goroutines that wait for a change of the clients. The caller holds o.mu.
func (o *sharingProcess) tellChange() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// clientStatus implements Chain.Users. It releases the rendezvous if the socket's file was removed
// or replaced, since no process can find the sharing process any more.
func (o *sharingProcess) clientStatus() (n int, open bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held != nil && !o.held.ownsSocket() {
		o.over = true
		o.releaseRendezvous()
	}
	return o.countJoined(), o.held != nil, o.changed
}

// closeRendezvous releases the rendezvous for good.
func (o *sharingProcess) closeRendezvous() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.releaseRendezvous()
}

// endClients tells all admitted clients the reason of the end, and ends their connections.
func (o *sharingProcess) endClients(reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.releaseRendezvous()
	last := lostOf(reason, o.rendezvous.Host)
	for s, in := range o.clients {
		if in {
			o.tasks.Go(func() { s.sendLost(last) })
		} else {
			// The process waits for an answer or is about to ask, and still gets one.
			_ = s.socket.SetDeadline(time.Now().Add(time.Second))
		}
	}
}
