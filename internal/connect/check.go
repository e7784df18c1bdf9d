package connect

import (
	"context"
	"slices"

	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/site"
)

// FindCheckTarget finds keys and host keys as FindRoute does, but continues after errors as far as it can, signs
// nothing and writes no host key. prompter asks for passphrases; nil: there is no terminal.
func FindCheckTarget(ctx context.Context, hosts []site.Host, ring *key.Ring, prompter key.Prompter) (t doctor.CheckTarget) {
	r := &Route{hosts: hosts, ring: ring}
	t.Hosts = hosts
	for _, h := range hosts {
		if slices.Contains([]string{"no", "off", "false", "accept-new"}, h.StrictHostKeyChecking) {
			h.UserKnownHosts = append([]string{"none"}, h.UserKnownHosts...) // so that no accepted key is written
		}
		keys, err := r.hostKeys(h)
		if err != nil {
			t.KnownErr = err
			break
		}
		t.Known = append(t.Known, keys)
	}
	r.keys, t.KeyErr = r.findKeys(ctx, prompter)
	if t.KeyErr == nil && t.KnownErr == nil {
		r.addHops(t.Known)
		t.Keys, t.Hops, t.NodeHop = r.keys, r.hops, r.NodeHop
	}
	r.addOptions()
	t.Options = r.options
	for _, k := range r.known {
		for _, m := range k.Warnings() {
			same := func(n error) bool { return n.Error() == m.Error() }
			if !slices.ContainsFunc(t.Note, same) { // hosts share files
				t.Note = append(t.Note, m)
			}
		}
	}
	return t
}
