package main

import (
	"context"
	"errors"
	"slices"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/master"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// An ssh of the user's that is logged in at a host (ControlMaster) carries the first connection to
// that host. It has verified the host's key, so no configuration counts by which it would have
// accepted a changed one.

// controlSocket returns the socket of an ssh that would be logged in at h as user; "" for none.
func controlSocket(h site.Host, user string) string {
	if h.ControlUser != user || slices.Contains([]string{"no", "off", "false"}, h.StrictHostKeyChecking) {
		return ""
	}
	return h.ControlPath
}

// hasMaster reports whether an ssh of this user's listens at the socket.
func hasMaster(ctx context.Context, socket string) bool {
	if socket == "" {
		return false
	}
	conn, err := peer.DialSocket(ctx, socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// findMaster reports whether an ssh of the user's is logged in at the login node, and then finds the
// keys without a question.
func (w *way) findMaster(ctx context.Context) (bool, error) {
	login := w.hosts[len(w.hosts)-1]
	if !hasMaster(ctx, controlSocket(login, login.ControlUser)) {
		return false, nil
	}
	if err := w.findKeysUnasked(ctx); err != nil {
		return false, err
	}
	// Without a User in any configuration, the certificate says who we are.
	user := firstNonEmpty(login.User, w.keys[len(w.keys)-1].Principal(), localUser())
	w.master = controlSocket(login, user)
	if w.master == "" {
		w.keyErr = nil
	}
	return w.master != "", nil
}

// findKeysUnasked finds the keys without a question. Where there is none, the hops have one that
// lets no one in: the login is ssh's, and a node is entered by a step of the job.
func (w *way) findKeysUnasked(ctx context.Context) error {
	w.keys, w.keyErr = w.findKeys(ctx, nil)
	if w.keyErr == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	signer, err := sshserver.NewKey()
	if err != nil {
		return err
	}
	none := &key.Identity{Signer: signer, Comment: "none"}
	w.keys = slices.Repeat([]*key.Identity{none}, len(w.hosts))
	return nil
}

// joinMaster returns the last hop at which an ssh of the user's is logged in, over the connection of
// that, and its index; -1 for none. It does so once: a connection that was lost, is silent or has no
// place for another command is no better the second time.
func (w *way) joinMaster(ctx context.Context) (hop chain.Hop, i int) {
	w.mu.Lock()
	hops, again := w.hops, w.masterTried
	w.masterTried = true
	w.mu.Unlock()
	if again {
		return hop, -1
	}
	for i := len(hops) - 1; i >= 0; i-- {
		socket := controlSocket(w.hosts[i], hops[i].User)
		if !hasMaster(ctx, socket) {
			continue
		}
		if hop, err := master.Join(ctx, socket, hops[i]); err == nil {
			return hop, i
		}
	}
	return hop, -1
}

// prepareKeys has the keys ready that a dial needs: those of now, and open.
func (w *way) prepareKeys(ctx context.Context, opts chain.Options) error {
	w.mu.Lock()
	missing, again, dialed := w.keyErr != nil, w.last != nil || w.dialed, w.dialed
	w.mu.Unlock()
	if missing { // ssh, which made them unnecessary, is gone
		opts.Asking()
		keys, err := w.findKeys(ctx, w.prompter)
		if err != nil {
			return &chain.KeyError{Err: err}
		}
		w.mu.Lock()
		w.useKeys(keys)
		w.keyErr = nil
		w.mu.Unlock()
	} else if again {
		w.mu.Lock()
		err := w.refreshKeys(ctx)
		w.mu.Unlock()
		// Who has only joined so far has the keys of its beginning, which may still be good.
		if err != nil && dialed {
			return &chain.KeyError{Err: err}
		}
	}
	w.mu.Lock()
	keys := w.keys
	w.mu.Unlock()
	for _, id := range keys {
		if id.Sealed() {
			opts.Asking()
		}
		if err := id.Open(ctx, w.prompter); err != nil {
			return err
		}
	}
	return nil
}

// dialHops makes a chain to the login node. When it is not the first, the keys are looked
// for anew: a certificate may have expired since, and have been renewed. No passphrase is asked for
// then; those that were given are remembered.
func (w *way) dialHops(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
	if w.ask != nil {
		opts.Challenge = w.answerChallenge
	}
	first, at := w.joinMaster(ctx)
	if at < len(w.hosts)-1 {
		if err := w.prepareKeys(ctx, opts); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.dialed = true
	hops := w.hops
	w.mu.Unlock()
	if at < 0 {
		return chain.Dial(ctx, hops, opts)
	}
	c, err := chain.Dial(ctx, append([]chain.Hop{first}, hops[at+1:]...), opts)
	var gone *chain.DialError
	if errors.As(err, &gone) && gone.Hop == first.Name { // meanwhile
		return w.dialHops(ctx, opts)
	}
	if err == nil {
		w.mu.Lock()
		w.masterHost = first.Name
		w.mu.Unlock()
	}
	return c, err
}

// tellMaster says, once, that an ssh of the user's carries the session: it stays as long as the session, after
// its shell has ended too.
func (w *way) tellMaster() {
	w.mu.Lock()
	host := w.masterHost
	w.masterHost = ""
	w.mu.Unlock()
	if host != "" {
		w.addWarning("your ssh that is logged in at " + host + " (ControlMaster) carries this session: if you log out there, it stays until the session ends")
	}
}
