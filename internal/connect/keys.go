package connect

import (
	"context"
	"reflect"
	"slices"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
)

// findSignedKeys finds the keys, and has a key signed if necessary.
func (r *Route) findSignedKeys(ctx context.Context) error {
	keys, err := r.findKeys(ctx, r.prompter)
	signed, failed := r.renew.renewIfNeeded(ctx, r.hosts, keys, err)
	switch {
	case failed != nil:
		return failed
	case signed:
		keys, err = r.findKeys(ctx, r.prompter)
	}
	r.keys = keys
	return err
}

// prepareKeys finds the current keys for a dial and opens them.
func (r *Route) prepareKeys(ctx context.Context, opts chain.Options) error {
	r.mu.Lock()
	missing, again, dialed := r.keyErr != nil, r.last != nil || r.dialed, r.dialed
	r.mu.Unlock()
	if missing { // the ssh that made them unnecessary is gone
		opts.Asking()
		keys, err := r.findKeys(ctx, r.prompter)
		if err != nil {
			return &chain.KeyError{Err: err}
		}
		r.mu.Lock()
		r.useKeys(keys)
		r.keyErr = nil
		r.mu.Unlock()
	} else if again {
		r.mu.Lock()
		err := r.refreshKeys(ctx)
		r.mu.Unlock()
		// A process that has only joined so far has the keys found at its start, which may still be valid.
		if err != nil && dialed {
			return &chain.KeyError{Err: err}
		}
	}
	for _, id := range r.Keys() {
		if id.Sealed() {
			opts.Asking()
		}
		if err := id.Open(ctx, r.prompter); err != nil {
			return err
		}
	}
	return nil
}

// refreshKeys finds the keys again without questions, since a certificate may have expired and been renewed.
// The caller holds r.mu.
func (r *Route) refreshKeys(ctx context.Context) error {
	if r.renew.canSign() && r.renew.Signer.IsUnattended() {
		if _, err := r.renew.renewIfNeeded(ctx, r.hosts, r.keys, nil); err != nil {
			return err
		}
	}
	// The agent may hold other keys by now. An agent that asks its user must not block r.mu, so its time is
	// short.
	keys, err := r.findKeys((*key.Lists)(nil).In(ctx), nil)
	if err != nil {
		return err
	}
	r.useKeys(keys)
	return nil
}

// useKeys sets the keys for later dials. The caller holds r.mu.
func (r *Route) useKeys(keys []*key.Identity) {
	r.keys = keys
	r.hops = slices.Clone(r.hops) // other dials may use the old slice
	for i := range r.hops {
		r.hops[i].Signer = keys[i].Signer
	}
}

// findKeys loads the key of each host, and each key only once.
func (r *Route) findKeys(ctx context.Context, prompter key.Prompter) ([]*key.Identity, error) {
	var keys []*key.Identity
	var sources []key.Source
	for _, h := range r.hosts {
		src := KeySource(h)
		src.Sealed = r.sealed
		sources = append(sources, src)
		same := slices.IndexFunc(sources, func(s key.Source) bool { return reflect.DeepEqual(s, src) })
		if same < len(keys) {
			keys = append(keys, keys[same])
			continue
		}
		id, err := r.ring.Load(ctx, src, prompter)
		if err != nil {
			return nil, err
		}
		keys = append(keys, id)
	}
	return keys, nil
}

// KeySource returns where to look for the key of h.
func KeySource(h site.Host) key.Source {
	return key.Source{
		Identity: h.Identity, IdentityFiles: h.IdentityFiles, CertificateFiles: h.CertificateFiles, Common: h.Common,
		IdentityAgent: h.IdentityAgent, IdentitiesOnly: h.IdentitiesOnly,
	}
}
