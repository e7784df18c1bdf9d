package main

import (
	"cmp"
	"context"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/paths"
)

// Sites limit logins, so all processes of this machine with the same way share one connection.

// redialWait is how long a process that has lost its connection waits for another process that is about to dial
// a shared one.
const redialWait = 10 * time.Minute

// dialShared dials the chain to the login node, or joins that of another process.
func (w *way) dialShared(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	w.keepConnection(ctx)
	p := w.sharePlace()
	w.mu.Lock()
	if w.dialed {
		p.Wait = redialWait
	}
	w.mu.Unlock()
	c, err := share.Dial(ctx, p, opts, w.dialHops)
	if err == nil {
		w.mu.Lock()
		w.last = c
		w.mu.Unlock()
		w.tellMaster()
	}
	return c, err
}

// pauseWait is the time for the clients of the shared connection to be told. Their open channels stay on it.
const pauseWait = 300 * time.Millisecond

// pauseSharing makes the clients of the shared connection dial their own, because this process is about to be
// stopped.
func (w *way) pauseSharing() {
	w.mu.Lock()
	last := w.last
	w.mu.Unlock()
	if last == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), pauseWait)
	defer cancel()
	last.Pause(ctx)
}

// dialAsGuest is dialShared for a command that ends soon, which is never the master. It may ask questions (see
// findWay).
func (w *way) dialAsGuest(ctx context.Context) (*share.Chain, error) {
	w.keepConnection(ctx)
	p := w.sharePlace()
	p.ClientOnly = true
	return share.Dial(ctx, p, w.options, w.dialHops)
}

// dialAlone dials a chain that is not shared, for a command that cannot move to another chain when its master
// ends.
func (w *way) dialAlone(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	c, err := share.Dial(ctx, share.Rendezvous{}, opts, w.dialHops)
	if err == nil {
		w.tellMaster()
	}
	return c, err
}

// sharePlace returns where the processes of one way share a chain: the same hops, users and key.
func (w *way) sharePlace() share.Rendezvous {
	p := share.Rendezvous{Host: w.hops[len(w.hops)-1].Name}
	if p.Dir = w.dir; p.Dir == "" {
		p.Dir, _ = paths.SocketDir() // on error nothing is shared
	}
	for i, h := range w.hops {
		// If ssh is logged in there may be no key; then the socket's path identifies the way.
		p.Key = append(p.Key, h.Addr, h.User, cmp.Or(w.keys[i].Fingerprint, w.master))
	}
	return p
}
