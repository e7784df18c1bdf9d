package connect

import (
	"cmp"
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

// If the user's ssh is logged in at a host (ControlMaster), its connection carries the first chain to that
// host. That ssh has verified the host's key. So the socket is not used if its configuration would have
// accepted a changed key.

// controlSocket returns the socket of an ssh that may be logged in at h as user, or "".
func controlSocket(h site.Host, user string) string {
	if h.ControlUser != user || slices.Contains([]string{"no", "off", "false"}, h.StrictHostKeyChecking) {
		return ""
	}
	return h.ControlPath
}

// hasMaster reports whether an ssh of this user listens on the socket.
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

// findMaster reports whether the user's ssh is logged in at the login node. If so, it finds the keys without a
// question.
func (r *Route) findMaster(ctx context.Context) (bool, error) {
	login := r.hosts[len(r.hosts)-1]
	if !hasMaster(ctx, controlSocket(login, login.ControlUser)) {
		return false, nil
	}
	if err := r.findKeysUnasked(ctx); err != nil {
		return false, err
	}
	// If no configuration sets User, the certificate names the user.
	user := cmp.Or(login.User, r.keys[len(r.keys)-1].Principal(), LocalUser())
	r.master = controlSocket(login, user)
	if r.master == "" {
		r.keyErr = nil
	}
	return r.master != "", nil
}

// findKeysUnasked finds the keys without a question. If there is none, the hops get a new key that no host
// accepts: ssh is logged in already, and the last hop is a job step.
func (r *Route) findKeysUnasked(ctx context.Context) error {
	r.keys, r.keyErr = r.findKeys(ctx, nil)
	if r.keyErr == nil {
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
	r.keys = slices.Repeat([]*key.Identity{none}, len(r.hosts))
	return nil
}

// joinMaster returns the last hop at which the user's ssh is logged in, over the connection of that ssh, and
// its index, or -1. It tries only once: a connection that was lost, is silent or accepts no further session
// would not work the second time either.
func (r *Route) joinMaster(ctx context.Context) (hop chain.Hop, i int) {
	r.mu.Lock()
	hops, again := r.hops, r.masterTried
	r.masterTried = true
	r.mu.Unlock()
	if again {
		return hop, -1
	}
	for i := len(hops) - 1; i >= 0; i-- {
		socket := controlSocket(r.hosts[i], hops[i].User)
		if !hasMaster(ctx, socket) {
			continue
		}
		if hop, err := master.Join(ctx, socket, hops[i]); err == nil {
			return hop, i
		}
	}
	return hop, -1
}

// dialHops dials a chain to the login node. After the first dial it looks for the keys again, since a
// certificate may have expired and been renewed. It then asks for no passphrase; the ring remembers those that
// were entered.
func (r *Route) dialHops(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
	if r.prompter != nil {
		opts.Challenge = r.answerChallenge
	}
	first, at := r.joinMaster(ctx)
	if at < len(r.hosts)-1 {
		if err := r.prepareKeys(ctx, opts); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	r.dialed = true
	hops := r.hops
	r.mu.Unlock()
	if at < 0 {
		return chain.Dial(ctx, hops, opts)
	}
	c, err := chain.Dial(ctx, append([]chain.Hop{first}, hops[at+1:]...), opts)
	var gone *chain.DialError
	if errors.As(err, &gone) && gone.Hop == first.Name { // that ssh has ended in the meantime
		return r.dialHops(ctx, opts)
	}
	if err == nil {
		r.mu.Lock()
		r.masterHost = first.Name
		r.mu.Unlock()
	}
	return c, err
}

// tellMaster warns once that the user's ssh carries the session. That ssh then runs as long as the session,
// even if its shell has ended.
func (r *Route) tellMaster() {
	r.mu.Lock()
	host := r.masterHost
	r.masterHost = ""
	r.mu.Unlock()
	if host != "" {
		r.addWarning("your ssh that is logged in at " + host + " (ControlMaster) carries this session: if you log out there, it stays until the session ends")
	}
}
