package connect

import (
	"cmp"
	"context"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/paths"
)

// Sites limit logins, so all processes of this machine with the same route share one connection.

// redialWait is how long a process that has lost its connection waits for another process that is about to dial
// a shared one.
const redialWait = 10 * time.Minute

// DialShared dials the chain to the login node, or joins that of another process. The errors are those of
// chain.Dial, a *chain.KeyError if there is no key by then, or the cause of ctx.
func (r *Route) DialShared(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	r.keepConnection(ctx)
	p := r.rendezvous()
	r.mu.Lock()
	if r.dialed {
		p.Wait = redialWait
	}
	r.mu.Unlock()
	c, err := share.Dial(ctx, p, opts, r.dialHops)
	if err == nil {
		r.mu.Lock()
		r.last = c
		r.mu.Unlock()
		r.tellMaster()
	}
	return c, err
}

// pauseWait is the time for the clients of the shared connection to be told. Their open channels stay on it.
const pauseWait = 300 * time.Millisecond

// PauseSharing makes the clients of the shared connection dial their own, because this process is about to be
// stopped.
func (r *Route) PauseSharing() {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if last == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), pauseWait)
	defer cancel()
	last.Pause(ctx)
}

// DialAsClient is DialShared for a command that ends soon, which is never the sharing process. It may ask questions
// (see Options.OpenLate).
func (r *Route) DialAsClient(ctx context.Context) (*share.Chain, error) {
	r.keepConnection(ctx)
	p := r.rendezvous()
	p.ClientOnly = true
	return share.Dial(ctx, p, r.options, r.dialHops)
}

// DialAlone dials a chain that is not shared, for a command that cannot move to another chain when its sharing process
// ends.
func (r *Route) DialAlone(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	c, err := share.Dial(ctx, share.Rendezvous{}, opts, r.dialHops)
	if err == nil {
		r.tellMaster()
	}
	return c, err
}

// rendezvous returns where the processes of one route share a chain: the same hops, users and key.
func (r *Route) rendezvous() share.Rendezvous {
	p := share.Rendezvous{Host: r.hops[len(r.hops)-1].Name}
	if p.Dir = r.dir; p.Dir == "" {
		p.Dir, _ = paths.SocketDir() // on error nothing is shared
	}
	for i, h := range r.hops {
		// If ssh is logged in there may be no key; then the socket's path identifies the route.
		p.Key = append(p.Key, h.Addr, h.User, cmp.Or(r.keys[i].Fingerprint, r.master))
	}
	return p
}
