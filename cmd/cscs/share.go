package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/owndir"
)

// Sites count logins: all processes of this machine that go the same way share one.

// redialWait is how long a process that has lost its connection waits for another that is
// about to make one for all.
const redialWait = 10 * time.Minute

// dialShared makes the chain to the login node, or joins that of another process.
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

// pauseWait is for the word to reach those who share a connection. What they have open stays
// with it.
const pauseWait = 300 * time.Millisecond

// pauseSharing has the others who share our connection dial one of their own: this process is about
// to be stopped.
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

// dialAsGuest is dial for a command that ends soon. It asks for what it has to (see findWay).
func (w *way) dialAsGuest(ctx context.Context) (*share.Chain, error) {
	w.keepConnection(ctx)
	p := w.sharePlace()
	p.ClientOnly = true
	return share.Dial(ctx, p, w.options, w.dialHops)
}

// dialAlone is dial for what cannot move to another chain when its owner ends.
func (w *way) dialAlone(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	c, err := share.Dial(ctx, share.Rendezvous{}, opts, w.dialHops)
	if err == nil {
		w.tellMaster()
	}
	return c, err
}

// sharePlace is where those meet who go this way: through the same hops, as the same users,
// with the same key.
func (w *way) sharePlace() share.Rendezvous {
	p := share.Rendezvous{Host: w.hops[len(w.hops)-1].Name}
	if p.Dir = w.dir; p.Dir == "" {
		p.Dir, _ = socketDir() // else nothing is shared
	}
	for i, h := range w.hops {
		// Of a login of ssh's there is no fingerprint, but the socket.
		p.Key = append(p.Key, h.Addr, h.User, firstNonEmpty(w.keys[i].Fingerprint, w.master))
	}
	return p
}

// socketDir is for the sockets by which our processes reach each other: below
// $XDG_RUNTIME_DIR, where that is a directory of the user's alone, as its specification demands, else
// beside the records.
func socketDir() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && owndir.Check(dir) == nil {
		return filepath.Join(dir, "cscs"), nil
	}
	state, err := stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "run"), nil
}
