// Package connect leads to a cluster's login node: it finds the hosts and keys of the route, has a key signed if
// necessary, and dials the connection or shares that of another process.
//
// It prints nothing: a Prompter asks the user, and functions that the command passes in tell the rest.
package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/session"
)

// A Route has everything that is needed to dial a cluster's login node and its compute nodes.
type Route struct {
	hosts    []site.Host
	keys     []*key.Identity // one for each host
	hops     []chain.Hop
	options  chain.Options
	dir      string // directory of the shared connections' sockets; "": the default
	ring     *key.Ring
	sealed   bool     // keys are opened only for a dial
	prompter Prompter // nil: no terminal to ask on
	renew    *Renewal // nil: no service signs keys for this cluster
	warnings []string
	master   string // control socket of an ssh logged in at the login node; "": none found

	mu          sync.Mutex
	known       []*chain.KnownHosts // warnings still to be printed
	dialed      bool
	masterTried bool         // joinMaster has run
	masterHost  string       // host at which an ssh carries the first chain, until that is reported; "": none
	keyErr      error        // why there are no keys, if ssh makes them unnecessary
	last        *share.Chain // the last chain dialled for the session
	keep        *Keeping     // nil: the connection is not kept, or was dialled already
}

// Options say how FindRoute finds a route.
type Options struct {
	Overrides site.Overrides
	Prompter  Prompter // nil: no terminal to ask on
	Renewal   *Renewal // nil: no service signs keys for this cluster
	Keeping   *Keeping // nil: the connection is not kept
	OpenLate  bool     // ask for a passphrase only when there is no connection to join
}

// FindRoute gets the hosts from ssh's configuration and chooses the key of each. It connects to no host, and to
// the signing service only if a key is to be signed. It reports an expired certificate before any host is
// contacted. The errors are those of site.Config.Route, key.Ring.Load, Signer.Sign and chain.OpenKnownHosts.
func FindRoute(ctx context.Context, cfg *site.Config, cl site.Cluster, o Options) (*Route, error) {
	hosts, err := cfg.Route(ctx, cl, o.Overrides)
	if err != nil {
		return nil, err
	}
	r := &Route{hosts: hosts, dir: cl.Dir, ring: &key.Ring{}, prompter: o.Prompter, renew: o.Renewal, keep: o.Keeping, sealed: o.OpenLate}
	if r.renew != nil {
		r.renew.ring, r.renew.warn, r.renew.now = r.ring, r.addWarning, time.Now
	}
	joins, err := r.findMaster(ctx)
	if err == nil && !joins {
		err = r.findSignedKeys(ctx)
	}
	if err != nil {
		return nil, err
	}
	var hostKeys []chain.HostKeys
	for _, h := range hosts {
		r.warnings = append(r.warnings, h.Warnings...)
		k, err := r.hostKeys(h)
		if err != nil {
			return nil, err
		}
		hostKeys = append(hostKeys, k)
	}
	r.addHops(hostKeys)
	r.addOptions()
	return r, nil
}

// Hosts returns the hosts up to the login node, each with its user.
func (r *Route) Hosts() []site.Host { return r.hosts }

// Login returns the login node.
func (r *Route) Login() site.Host { return r.hosts[len(r.hosts)-1] }

// Keys returns the present key of each host.
func (r *Route) Keys() []*key.Identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

// Hops returns the hops up to the login node, with the present keys.
func (r *Route) Hops() []chain.Hop {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hops
}

// ChainOptions returns the timeout and the address family of ssh's configuration.
func (r *Route) ChainOptions() chain.Options { return r.options }

// MasterSocket returns the control socket of the user's ssh that is logged in at the login node; "": none.
func (r *Route) MasterSocket() string { return r.master }

// addHops makes a hop of each host, with its user, its host keys and the user's key.
func (r *Route) addHops(hostKeys []chain.HostKeys) {
	login := r.keys[len(r.hosts)-1]
	for i, h := range r.hosts {
		u := cmp.Or(h.User, r.keys[i].Principal(), r.hosts[len(r.hosts)-1].User, login.Principal(), LocalUser())
		r.hosts[i].User = u
		if p := r.keys[i].Principals; len(p) > 0 && !slices.Contains(p, u) {
			r.warnings = append(r.warnings, fmt.Sprintf("the certificate for %s is for %s, not for %s", h.Name, strings.Join(p, ", "), u))
		}
		r.hops = append(r.hops, chain.Hop{
			Name: h.Name, Addr: h.Addr(), User: u, Signer: r.keys[i].Signer, HostKeys: hostKeys[i], HostKeyAlias: h.HostKeyAlias,
		})
	}
	if err := login.Unfit(); err != nil {
		p := problem.Of(err)
		r.warnings = append(r.warnings, p.Message+"; "+p.Hint)
	}
}

// addOptions takes the timeout and address family from ssh's configuration.
func (r *Route) addOptions() {
	for _, h := range r.hosts {
		r.options.Timeout = max(r.options.Timeout, h.ConnectTimeout)
	}
	switch r.hosts[0].AddressFamily {
	case "inet":
		r.options.Network = "tcp4"
	case "inet6":
		r.options.Network = "tcp6"
	}
}

// RefusalCause returns the cause of err if this side knows it better than the host that refused: a certificate
// that was valid when the session began may have expired.
func (r *Route) RefusalCause(err error) error {
	var left *session.TeardownError
	if errors.As(err, &left) { // there may still be a job
		because := *left
		because.Err = r.RefusalCause(left.Err)
		return &because
	}
	var refused *chain.AuthError
	if r == nil || !errors.As(err, &refused) || refused.Accepted {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) == 0 {
		return err
	}
	id := r.keys[len(r.keys)-1]
	var expired *key.ExpiredError
	if id.Cert == nil || !errors.As(key.InTime(cmp.Or(id.CertPath, id.Path), id.Cert, time.Now()), &expired) {
		return err
	}
	return expired
}

// hostKeys returns how to verify the keys of h: by its known_hosts files and, for an unknown host, as
// StrictHostKeyChecking says.
func (r *Route) hostKeys(h site.Host) (chain.HostKeys, error) {
	var answer chain.AskFunc
	switch h.StrictHostKeyChecking {
	case "yes", "true":
	case "no", "off", "false", "accept-new":
		// A changed key is refused in any case.
		answer = func(_ context.Context, q chain.Question) (bool, error) {
			r.addWarning(fmt.Sprintf("the host key of %s was not known and is accepted (StrictHostKeyChecking): %s %s", q.Host, q.KeyType, q.Fingerprint))
			return true, nil
		}
	default:
		if r.prompter != nil {
			answer = func(ctx context.Context, q chain.Question) (bool, error) {
				return r.prompter.Ask(ctx, q.String(), chain.AskAgain, q.Answer)
			}
		}
	}
	known, err := chain.OpenKnownHosts(slices.Concat(h.UserKnownHosts, h.GlobalKnownHosts), answer)
	if err != nil {
		return nil, err
	}
	r.known = append(r.known, known)
	return known, nil
}

func (r *Route) addWarning(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warnings = append(r.warnings, message)
}

// TakeWarnings returns the warnings that are not in told, and adds them to it.
func (r *Route) TakeWarnings(told map[string]bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.warnings
	for _, k := range r.known {
		for _, m := range k.Warnings() {
			all = append(all, m.Error())
		}
	}
	var fresh []string
	for _, m := range all {
		if !told[m] {
			told[m] = true
			fresh = append(fresh, m)
		}
	}
	return fresh
}

// NodeHop returns the hop from the login node to a compute node: with the login node's user and key, and the
// host keys that were reported for the node. If the certificate expires within 30 s, it looks for a renewed
// one, since the job may have waited for long.
func (r *Route) NodeHop(node string, keys chain.HostKeys) chain.Hop {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if until := r.keys[len(r.keys)-1].ValidBefore; !until.IsZero() && time.Until(until) < 30*time.Second {
		_ = r.refreshKeys(ctx) // on error the old one stays, and the node reports the reason
	}
	if r.keyErr != nil { // there may be a key by now
		if keys, err := r.findKeys(ctx, nil); err == nil {
			r.useKeys(keys)
			r.keyErr = nil
		}
	}
	login := r.hops[len(r.hops)-1]
	return chain.Hop{Name: node, Addr: net.JoinHostPort(node, "22"), User: login.User, Signer: login.Signer, HostKeys: keys}
}

// LocalUser returns the name of the local user, which is the last default, as in ssh.
func LocalUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username[strings.LastIndex(u.Username, `\`)+1:] // on Windows: DOMAIN\name
}
