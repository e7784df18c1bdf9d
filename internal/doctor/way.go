package doctor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// dialTime is how long one host may take, so that it is told before the check's own time is up.
const dialTime = 4500 * time.Millisecond

// shakeTime is the same for a handshake, of some eight round trips.
const shakeTime = 8 * time.Second

// unreached is the error of the chain for a first host that cannot be reached.
func (v *visit) unreached(err error) error {
	h := v.way.Hosts[0]
	return &chain.DialError{Hop: h.Name, Addr: h.Addr(), Phase: chain.PhaseConnect, Err: err}
}

// names: the addresses of the first host.
func (v *visit) names(ctx context.Context) []finding {
	h := v.way.Hosts[0]
	network := "ip" + strings.TrimPrefix(v.way.Options.Network, "tcp")
	lookup := v.cfg.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := lookup(ctx, network, h.HostName)
	if err != nil {
		return one(failure(h.Name, v.unreached(err)))
	}
	var is []string
	for _, a := range addrs {
		a = a.Unmap()
		v.addrs = append(v.addrs, a)
		is = append(is, a.String())
	}
	return one(ok(h.Name, h.HostName+" is "+strings.Join(is, ", ")))
}

// A family is the addresses of one version of IP.
type family struct {
	name string
	addr netip.Addr // the first
	err  error
	took time.Duration
}

// tcp: whether the first host's port answers, by each version of IP that it has.
func (v *visit) tcp(ctx context.Context) []finding {
	h := v.way.Hosts[0]
	families := map[string]*family{}
	var order []*family
	for _, a := range v.addrs {
		name := "IPv6"
		if a.Is4() {
			name = "IPv4"
		}
		if families[name] == nil {
			families[name] = &family{name: name, addr: a}
			order = append(order, families[name])
		}
	}
	var all sync.WaitGroup
	for _, f := range order {
		all.Go(func() {
			d := net.Dialer{Timeout: dialTime}
			var c net.Conn
			began := time.Now()
			if c, f.err = d.DialContext(ctx, "tcp", net.JoinHostPort(f.addr.String(), strconv.Itoa(h.Port))); f.err == nil {
				_ = c.Close()
				f.took = time.Since(began)
			}
		})
	}
	all.Wait()
	var answers []string
	for _, f := range order {
		if f.err == nil {
			answers = append(answers, f.name)
			v.trip = max(v.trip, f.took)
		}
	}
	if len(answers) == 0 {
		return one(failure(h.Name, v.unreached(order[0].err)))
	}
	var found []finding
	for _, f := range order {
		// A network that has no IPv6 says so at once, and nobody waits for it.
		if f.err != nil && !noRoute(f.err) {
			found = append(found, warning(h.Name, &FamilyError{Host: h.HostName, Asked: h.Asked, Family: f.name, Other: answers[0], Addr: f.addr.String(), Err: opReason(f.err)}))
		}
	}
	if len(found) > 0 {
		return found
	}
	return one(ok(h.Name, fmt.Sprintf("port %d answers by %s", h.Port, strings.Join(answers, " and "))))
}

// opReason takes the address off an error of net's.
func opReason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// errSeen ends a handshake of which enough was seen.
var errSeen = errors.New("the host key was seen")

// A look is at a host's key only: nobody is to be let in.
type look struct{ chain.HostKeys }

func (l look) Check(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	if err := l.HostKeys.Check(ctx, host, remote, key); err != nil {
		return err
	}
	return errSeen
}

// firstHop is the first host; without a key, or a way to tell the host's, only as far as its
// host key.
func (v *visit) firstHop() (chain.Hop, error) {
	if len(v.way.Hops) > 0 {
		return v.way.Hops[0], nil
	}
	h := v.way.Hosts[0]
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return chain.Hop{}, err
	}
	signer, err := ssh.NewSignerFromKey(private) // it is shown to nobody
	hop := chain.Hop{Name: h.Name, Addr: h.Addr(), User: "nobody", Signer: signer, HostKeyAlias: h.HostKeyAlias, HostKeys: look{anyKey{}}}
	if len(v.way.Known) > 0 {
		hop.HostKeys = look{v.way.Known[0]}
	}
	return hop, err
}

// anyKey is for a host whose key cannot be told.
type anyKey struct{}

func (anyKey) Algorithms(string) []string                                   { return nil }
func (anyKey) Check(context.Context, string, net.Addr, ssh.PublicKey) error { return nil }

// ssh: whether the first host speaks it. What comes of its key and ours is for the next
// checks to say.
func (v *visit) ssh(ctx context.Context) []finding {
	h := v.way.Hosts[0]
	hop, err := v.firstHop()
	if err != nil {
		return one(failure(h.Name, err))
	}
	opts := v.way.Options
	opts.Timeout = shakeTime
	c, err := chain.Dial(ctx, []chain.Hop{hop}, opts)
	v.keep(&v.first, c)
	v.dialed = err
	var late *chain.DialError
	if errors.As(err, &late) && late.Phase != chain.PhaseAuthenticate && !errors.Is(err, errSeen) {
		return one(failure(h.Name, err))
	}
	return one(ok(h.Name, "it speaks ssh"))
}

// keep keeps a chain for those who come after, if there is one.
func (v *visit) keep(at **chain.Chain, c *chain.Chain) {
	if c == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		_ = c.Close()
		return
	}
	*at = c
}

// hostKey: whether the first host is the one that it is said to be.
func (v *visit) hostKey(context.Context) []finding {
	h := v.way.Hosts[0]
	var wrong *chain.HostKeyError
	var found []finding
	switch {
	case v.way.KnownErr != nil:
		found = one(failure(h.Name, v.way.KnownErr))
	case errors.As(v.dialed, &wrong):
		found = one(failure(h.Name, v.dialed))
	default:
		found = one(ok(h.Name, "its key is the one that is known for "+h.HostName))
	}
	for _, n := range v.way.Note {
		var passed *chain.PassedOverError
		if errors.As(n, &passed) && passed.File == v.cfg.knownHosts() && passed.Line == 0 {
			continue // "files" tells of it
		}
		found = append(found, warning(h.Name, n))
	}
	return found
}

// auth: whether the first host lets us in.
func (v *visit) auth(context.Context) []finding {
	h := v.way.Hosts[0]
	var late *chain.DialError
	switch {
	case errors.As(v.dialed, &late) && late.Timeout(): // it was heard of before
		return one(failure(h.Name, &OvertimeError{Check: "auth", After: shakeTime}))
	case v.dialed != nil:
		return one(failure(h.Name, v.dialed))
	}
	return one(ok(h.Name, "it lets "+h.User+" in"))
}

// login: the hosts behind the first, up to the login node.
func (v *visit) login(ctx context.Context) []finding {
	c := v.first
	last := v.way.Hosts[len(v.way.Hosts)-1]
	for _, hop := range v.way.Hops[1:] {
		next, err := c.Extend(ctx, hop)
		if err != nil {
			return one(failure(hop.Name, err))
		}
		v.keep(&v.chain, next)
		c = next
	}
	v.keep(&v.chain, c)
	return one(ok(last.Name, "it lets "+last.User+" in"))
}
