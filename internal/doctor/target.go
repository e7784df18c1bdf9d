package doctor

import (
	"context"
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
	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// dialTime is the time for one host. It ends before that of the check, so that the host's own error
// is reported.
const dialTime = 4500 * time.Millisecond

// shakeTime is the time for an SSH handshake, which takes about eight round trips.
const shakeTime = 8 * time.Second

// connectError returns the chain's error for a first host that cannot be reached.
func (v *diagnosis) connectError(err error) error {
	h := v.target.Hosts[0]
	return &chain.DialError{Hop: h.Name, Addr: h.Addr(), Phase: chain.PhaseConnect, Err: err}
}

// checkNames looks up the addresses of the first host.
func (v *diagnosis) checkNames(ctx context.Context) []finding {
	h := v.target.Hosts[0]
	network := "ip" + strings.TrimPrefix(v.target.Options.Network, "tcp")
	lookup := v.cfg.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	addrs, err := lookup(ctx, network, h.HostName)
	if err != nil {
		return failureFinding(h.Name, v.connectError(err))
	}
	var is []string
	for _, a := range addrs {
		a = a.Unmap()
		v.addrs = append(v.addrs, a)
		is = append(is, a.String())
	}
	return withFacts(okFinding(h.Name, h.HostName+" is "+strings.Join(is, ", ")), "addresses: %d", len(is))
}

// A family is the addresses of one IP version.
type family struct {
	name string
	addr netip.Addr // the first address
	err  error
	took time.Duration
}

// checkTCP connects to the first host's port by each IP version that the host has.
func (v *diagnosis) checkTCP(ctx context.Context) []finding {
	h := v.target.Hosts[0]
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
			v.roundTrip = max(v.roundTrip, f.took)
		}
	}
	if len(answers) == 0 {
		return failureFinding(h.Name, v.connectError(order[0].err))
	}
	var found []finding
	for _, f := range order {
		// A network without IPv6 reports so at once, and costs no time.
		if f.err != nil && !noRoute(f.err) {
			found = append(found, warningFinding(h.Name, &FamilyError{Host: h.HostName, Asked: h.Asked, Family: f.name, Other: answers[0], Addr: f.addr.String(), Err: opReason(f.err)})...)
		}
	}
	if len(found) > 0 {
		return found
	}
	seen := okFinding(h.Name, fmt.Sprintf("port %d answers by %s", h.Port, strings.Join(answers, " and ")))
	return withFacts(seen, "%s, %s", strings.Join(answers, ", "), v.roundTrip.Round(time.Millisecond))
}

// opReason returns the error inside an error of package net, without the address.
func opReason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// errHostKeySeen ends a handshake after the host key.
var errHostKeySeen = errors.New("the host key was seen")

// A hostKeyProbe checks a host key and then ends the handshake, so no login follows.
type hostKeyProbe struct{ chain.HostKeys }

func (l hostKeyProbe) Check(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	if err := l.HostKeys.Check(ctx, host, remote, key); err != nil {
		return err
	}
	return errHostKeySeen
}

// firstHop returns the hop to the first host. Without the user's key or known_hosts, that hop goes
// only as far as the host key.
func (v *diagnosis) firstHop() (chain.Hop, error) {
	if len(v.target.Hops) > 0 {
		return v.target.Hops[0], nil
	}
	h := v.target.Hosts[0]
	signer, err := sshserver.NewKey() // it is not shown to any host
	hop := chain.Hop{Name: h.Name, Addr: h.Addr(), User: "nobody", Signer: signer, HostKeyAlias: h.HostKeyAlias, HostKeys: hostKeyProbe{anyKey{}}}
	if len(v.target.Known) > 0 {
		hop.HostKeys = hostKeyProbe{v.target.Known[0]}
	}
	return hop, err
}

// anyKey accepts every host key. It is for a host whose key cannot be checked.
type anyKey struct{}

func (anyKey) Algorithms(string) []string                                   { return nil }
func (anyKey) Check(context.Context, string, net.Addr, ssh.PublicKey) error { return nil }

// checkSSH checks whether the first host speaks SSH. checkHostKey and checkAuth report the errors
// of its host key and of the login.
func (v *diagnosis) checkSSH(ctx context.Context) []finding {
	h := v.target.Hosts[0]
	hop, err := v.firstHop()
	if err != nil {
		return failureFinding(h.Name, err)
	}
	opts := v.target.Options
	opts.Timeout = shakeTime
	c, err := chain.Dial(ctx, []chain.Hop{hop}, opts)
	v.keepChain(&v.first, c)
	v.dialErr = err
	var late *chain.DialError
	if errors.As(err, &late) && late.Phase != chain.PhaseAuthenticate && !errors.Is(err, errHostKeySeen) {
		return failureFinding(h.Name, err)
	}
	return okFinding(h.Name, "it speaks ssh")
}

// keepChain stores a chain for later checks. c may be nil.
func (v *diagnosis) keepChain(at **chain.Chain, c *chain.Chain) {
	if c == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		_ = c.Close()
		return
	}
	*at = c
}

// checkHostKey checks whether the first host has the expected key.
func (v *diagnosis) checkHostKey(context.Context) []finding {
	h := v.target.Hosts[0]
	var found []finding
	switch {
	case v.target.KnownErr != nil:
		found = failureFinding(h.Name, v.target.KnownErr)
	case errors.As(v.dialErr, new(*chain.HostKeyError)):
		found = failureFinding(h.Name, v.dialErr)
	default:
		found = okFinding(h.Name, "its key is the one that is known for "+h.HostName)
	}
	for _, n := range v.target.Note {
		var passed *chain.PassedOverError
		if errors.As(n, &passed) && passed.File == v.cfg.knownHosts() && passed.Line == 0 {
			continue // the check "files" reports it
		}
		found = append(found, warningFinding(h.Name, n)...)
	}
	return found
}

// checkAuth checks whether the first host accepts the login.
func (v *diagnosis) checkAuth(context.Context) []finding {
	h := v.target.Hosts[0]
	var late *chain.DialError
	switch {
	case errors.As(v.dialErr, &late) && late.Timeout(): // the host answered before
		return failureFinding(h.Name, newOvertimeError("auth", shakeTime))
	case v.dialErr != nil:
		return failureFinding(h.Name, v.dialErr)
	}
	return okFinding(h.Name, "it lets "+h.User+" in")
}

// checkLogin connects to the further hosts, up to the login node.
func (v *diagnosis) checkLogin(ctx context.Context) []finding {
	c := v.first
	last := v.target.Hosts[len(v.target.Hosts)-1]
	for _, hop := range v.target.Hops[1:] {
		next, err := c.Extend(ctx, hop)
		if err != nil {
			return failureFinding(hop.Name, err)
		}
		v.keepChain(&v.chain, next)
		c = next
	}
	v.keepChain(&v.chain, c)
	return okFinding(last.Name, "it lets "+last.User+" in")
}
