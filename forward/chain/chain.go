// Package chain makes the way to a host behind other hosts: any number of
// hops, one SSH connection per hop, each carried by the one before in a
// direct-tcpip channel (RFC 4254 §7.2), as ssh's ProxyJump does it. The last
// hop runs commands and opens connections.
//
// The rules it keeps: a hop is given complete, nothing is looked up in
// configuration files; one key is offered to a hop, and only then its questions to the user are answered; the
// host key of every hop is verified; everything can be cancelled at any moment
// by its context; a link that has gone silent is noticed and ended, never
// waited for. Whether to dial again is for the caller to decide.
package chain

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Hop is one host on the way. It is complete: nothing is looked up in files
// when it is dialled.
type Hop struct {
	Name string // as messages call it: "ela", "daint", "nid001001"
	Addr string // host:port, dialled from the hop before (the first: from here)
	User string

	// Signer is the one key offered. A certificate signer offers the
	// certificate alone, not the bare key as well.
	Signer ssh.Signer

	// HostKeys says how the host's key is verified. It must be set.
	HostKeys HostKeys

	// HostKeyAlias is the name under which the host's keys are known, if it is
	// not that in Addr; as in ssh_config(5), it then has no port.
	HostKeyAlias string

	// Carrier, if set, opens what the hop's connection runs over, in place of a
	// connection to Addr. Its errors come wrapped in a *DialError; ctx has no hold on what it
	// returned.
	Carrier func(ctx context.Context) (net.Conn, error)
}

// Options are how a chain is dialled and kept. The zero value is good.
type Options struct {
	// Timeout is how long one hop may take to be reached and to let us in, name
	// resolution included. The time in which a person answers a question about
	// a host key, or an agent asks before it signs, does not count. 0 means 30 s.
	Timeout time.Duration

	// Keepalive is how long a link may be silent before the far side is asked
	// for a sign of life; 0 means 10 s, and less than 0 never.
	Keepalive time.Duration

	// Tolerance is how long an answer to that may take before the link is
	// given up for lost; 0 means 60 s.
	Tolerance time.Duration

	// Silence, if set, is called with true when a hop has been silent for 15 s (by
	// default) though it was asked, or has not answered at once after this machine had
	// slept, and with false when it is heard of again. It must not block.
	Silence func(hop string, silent bool)

	// Redials, if set, reports whether a silence would make its receiver dial another chain now. Then the chain calls
	// Silence as soon as the network was away and is back, and the first hop still does not answer. It must not block.
	Redials func() bool

	// Observe, if set, is called when a hop is about to be dialled, with false,
	// and when it has let us in, with true. It must not block.
	Observe func(hop string, connected bool)

	// RoundTrip, if set, is told how long a hop took to answer such a request, which nobody
	// was kept from by a sleep of this machine, and which was no silence. It must not block.
	RoundTrip func(hop string, took time.Duration)

	// Asking, if set, is called when a hop is kept waiting by a person, as far as can
	// be seen: a question about its host key is not answered, or an agent has not
	// signed, for 2 s. It must not block.
	Asking func()

	// Challenge, if set, asks the user what a hop wants to know after it has accepted the key: a
	// second factor (keyboard-interactive, RFC 4256). It returns one answer for each prompt; its
	// error ends the dial. The hop's clock stands still meanwhile. nil: no one can be asked, and only what
	// has no prompts is answered.
	Challenge func(ctx context.Context, c Challenge) ([]string, error)

	// NetDial makes the connection to the first hop; nil is a net.Dialer, which
	// tries IPv6 and IPv4 side by side (RFC 8305).
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Network is "tcp" (the default), "tcp4" or "tcp6": ssh_config's
	// AddressFamily, for the first hop.
	Network string

	wall func() time.Time // the wall clock, which goes on while the machine sleeps; for tests
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Keepalive == 0 {
		o.Keepalive = 10 * time.Second
	}
	if o.Tolerance <= 0 {
		o.Tolerance = 60 * time.Second
	}
	if o.Silence == nil {
		o.Silence = func(string, bool) {}
	}
	if o.Observe == nil {
		o.Observe = func(string, bool) {}
	}
	if o.RoundTrip == nil {
		o.RoundTrip = func(string, time.Duration) {}
	}
	if o.Asking == nil {
		o.Asking = func() {}
	}
	if o.Network == "" {
		o.Network = "tcp"
	}
	if o.NetDial == nil {
		o.NetDial = netDial
	}
	if o.wall == nil {
		o.wall = func() time.Time { return time.Now().Round(0) } // without the monotonic reading
	}
	return o
}

// A Chain is a live way to its last hop. Its methods may be called by many
// goroutines at once.
type Chain struct {
	opts   Options
	parent *Chain // what carries the first link; nil: the network

	done chan struct{} // closed once err is set
	end  sync.Once
	err  error // written before done is closed, read after

	mu       sync.Mutex
	sshConns []*sshConn // in order; owned, the parent's are not; grows while dialling
	closing  bool       // no more links and tasks
	tasks    sync.WaitGroup

	conns        atomic.Int64 // open, over the last link
	userInvolved atomic.Bool  // a person may have been asked at the dial: for an answer, a touch of the key or a confirmation
}

// Dial reaches the hops in order and returns the chain that ends at the last.
// When ctx ends, or a hop fails, everything that was opened is closed again.
// Once Dial has returned, ctx has no hold on the chain.
//
// Errors: *DialError (a hop could not be reached or fell silent; it wraps an
// *OpenError if the hop before refused), *HostKeyError, *AuthError, *SignError;
// the cause of ctx if that ended.
func Dial(ctx context.Context, hops []Hop, opts Options) (*Chain, error) {
	if len(hops) == 0 {
		return nil, errors.New("dial chain: no hops given")
	}
	return dialHops(ctx, nil, hops, opts.withDefaults())
}

// Extend dials one more hop through the last of c and returns the longer
// chain. Closing it leaves c open; when c ends, it ends too. Errors as for Dial.
func (c *Chain) Extend(ctx context.Context, hop Hop) (*Chain, error) {
	return dialHops(ctx, c, []Hop{hop}, c.opts)
}

func dialHops(ctx context.Context, parent *Chain, hops []Hop, opts Options) (*Chain, error) {
	c := &Chain{opts: opts, parent: parent, done: make(chan struct{})}
	for _, hop := range hops {
		if err := c.addHop(ctx, hop); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

// appendSSHConn adds a link to the chain and looks after it from now on. If the chain
// has ended meanwhile, the link ends too.
func (c *Chain) appendSSHConn(l *sshConn) {
	c.mu.Lock()
	outer := c.sshConns
	c.sshConns = append(c.sshConns, l)
	if c.closing {
		_ = l.conn.Close()
	}
	c.mu.Unlock()

	c.startTask(func() { c.watchSSHConn(l, outer) })
	if c.opts.Keepalive > 0 {
		c.startTask(func() { c.runKeepalive(l) })
	}
}

// lastSSHConn is the link that carries what comes next, or nil for the network.
func (c *Chain) lastSSHConn() *sshConn {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sshConns) > 0 {
		return c.sshConns[len(c.sshConns)-1]
	}
	return c.parent.lastSSHConn()
}

// Conns is how many connections are open that DialContext and Start have made over the chain
// itself; those of a longer one are not counted.
func (c *Chain) Conns() int { return int(c.conns.Load()) }

// Done is closed when the chain has ended, for whatever reason.
func (c *Chain) Done() <-chan struct{} { return c.done }

// Err says why the chain has ended: nil while it lives, net.ErrClosed after
// Close, a *LostError otherwise.
func (c *Chain) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the chain and all that it carries, and waits until nothing of it
// is running. The chain that it extends stays open. It may be called more than
// once, and does not wait for the far side.
func (c *Chain) Close() error {
	c.endChain(net.ErrClosed)
	c.tasks.Wait()
	return nil
}

// endChain ends the chain; the first reason given is the one that Err tells.
func (c *Chain) endChain(reason error) {
	c.end.Do(func() {
		c.mu.Lock()
		c.closing = true
		links := c.sshConns
		c.mu.Unlock()

		c.err = reason
		close(c.done)

		// The outermost transport first: it carries all the others, and closing
		// it cannot block, whereas an inner one would first have to say goodbye
		// through a connection that may be stuck.
		for _, l := range links {
			_ = l.conn.Close()
		}
	})
}

// startTask runs f in a goroutine that Close waits for. It reports false, and runs
// nothing, if the chain has ended.
func (c *Chain) startTask(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.tasks.Go(f)
	return true
}
