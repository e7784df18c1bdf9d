// Package chain dials a host behind other hosts. Each hop has an SSH connection of its own, in a
// direct-tcpip channel (RFC 4254, section 7.2) of the hop before, as with ssh's ProxyJump. The last
// hop runs commands and opens connections.
//
// The package follows these rules:
//
//   - A hop is complete: nothing is looked up in configuration files.
//   - A hop sees one key. Only after it has accepted the key are its questions to the user
//     answered.
//   - The host key of every hop is verified.
//   - A context cancels each operation at any moment.
//   - A silent SSH connection is noticed and ended, and no call waits for it.
//   - The caller decides whether to dial again.
package chain

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Hop is one host on the way. It is complete: nothing is looked up in files when it is dialled.
type Hop struct {
	Name string // for messages: "ela", "daint", "nid001001"
	Addr string // host:port, dialled from the hop before, or from this machine for the first
	User string

	// Signer is the one key that the hop sees. A certificate is offered without its bare key.
	Signer ssh.Signer

	// HostKeys verifies the host's key. It must be set.
	HostKeys HostKeys

	// HostKeyAlias, if set, replaces the name in Addr when the host's keys are looked up. As in
	// ssh_config(5), it has no port.
	HostKeyAlias string

	// Carrier, if set, opens the transport of the hop's SSH connection, in place of a connection to
	// Addr. Its errors are wrapped in a *DialError. After it has returned, ctx has no effect.
	Carrier func(ctx context.Context) (net.Conn, error)
}

// Options say how a chain is dialled and kept alive. The zero value selects the defaults. The
// callbacks must not block, apart from Challenge and NetDial.
type Options struct {
	// Timeout is how long the dial of one hop may take, with name resolution and authentication. 0
	// means 30 s. Time in which a person answers a question, or an agent asks before it signs, does
	// not count.
	Timeout time.Duration

	// Keepalive is how long an SSH connection may be silent before the chain sends a keepalive. 0
	// means 10 s, and a negative value means never.
	Keepalive time.Duration

	// Tolerance is how long a keepalive may be unanswered before the chain is lost. 0 means 60 s.
	Tolerance time.Duration

	// Silence, if set, is called with true when a hop is silent: after 15 s by default, keepalive
	// included, and after 1 s if this machine slept or the process was stopped. It is called with
	// false when the hop has answered again.
	Silence func(hop string, silent bool)

	// Redials, if set, reports whether the receiver of a silence would dial another chain now. If
	// so, the chain calls Silence as soon as the network was away and is back, and the first hop
	// still does not answer.
	Redials func() bool

	// Observe, if set, is called with false before a hop is dialled, with true after the login.
	Observe func(hop string, connected bool)

	// RoundTrip, if set, is called with the time that a hop took to answer a keepalive. Answers
	// after a reported silence, or after a sleep of this machine, are left out.
	RoundTrip func(hop string, took time.Duration)

	// Asking, if set, is called when a hop waits for a person: a question about its host key or for
	// a second factor has no answer, or an agent has not signed, for 2 s.
	Asking func()

	// Challenge, if set, asks the user the hop's questions after the hop has accepted the key: a
	// second factor (keyboard-interactive, RFC 4256). It returns one answer for each prompt. Its
	// error ends the dial. The hop's timer is paused meanwhile. If Challenge is nil, only requests
	// without prompts are answered.
	Challenge func(ctx context.Context, c Challenge) ([]string, error)

	// NetDial opens the connection to the first hop. nil means a net.Dialer, which tries IPv6 and
	// IPv4 in parallel (RFC 8305).
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Network is "tcp" (the default), "tcp4" or "tcp6", for the first hop: AddressFamily of
	// ssh_config(5).
	Network string

	wall func() time.Time // the wall clock, which goes on while the machine sleeps; replaced in tests
}

// WithDefaults returns o with the defaults in place of zero values. Its callbacks are not nil, apart
// from Redials and Challenge.
func (o Options) WithDefaults() Options {
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
	o.Network = cmp.Or(o.Network, "tcp")
	if o.NetDial == nil {
		o.NetDial = netDial
	}
	if o.wall == nil {
		o.wall = func() time.Time { return time.Now().Round(0) } // without the monotonic reading
	}
	return o
}

// A Chain is a chain of SSH connections, one per hop. Many goroutines may use it at once.
type Chain struct {
	opts   Options
	parent *Chain // carries the first SSH connection; nil if the network does

	done chan struct{} // closed once err is set
	end  sync.Once
	err  error // set before done is closed, read after

	mu       sync.Mutex
	sshConns []*sshConn // in order, without those of the parent; grows during the dial
	closing  bool       // no further SSH connections and tasks
	tasks    sync.WaitGroup

	conns        atomic.Int64 // open, over the last SSH connection
	userInvolved atomic.Bool  // at the dial a person may have answered, touched a key or confirmed
}

// Dial dials the hops in order and returns the chain that ends at the last one. If ctx ends or a
// hop fails, Dial closes everything that it has opened. After Dial has returned, ctx does not
// affect the chain.
//
// Errors: *DialError if a hop could not be reached or fell silent (it wraps an *OpenError if the
// hop before refused); *HostKeyError; *AuthError; *SignError; the cause of ctx if that ended.
func Dial(ctx context.Context, hops []Hop, opts Options) (*Chain, error) {
	if len(hops) == 0 {
		return nil, errors.New("dial chain: no hops given")
	}
	return dialHops(ctx, nil, hops, opts.WithDefaults())
}

// Extend dials one more hop through the last one of c and returns the longer chain. Closing that
// leaves c open; the end of c ends it. Errors are as for Dial.
func (c *Chain) Extend(ctx context.Context, hop Hop) (*Chain, error) {
	return dialHops(ctx, c, []Hop{hop}, c.opts)
}

// dialHops dials the hops through parent, or from this machine if parent is nil.
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

// appendSSHConn adds an SSH connection to the chain and watches it from now on. If the chain has
// ended, appendSSHConn closes the connection.
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

// lastSSHConn returns the SSH connection that carries the next hop, or nil for the network.
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

// Conns returns how many connections of DialContext and Start are open over the chain itself. It
// does not count those over longer chains.
func (c *Chain) Conns() int { return int(c.conns.Load()) }

// Done returns a channel that is closed when the chain has ended.
func (c *Chain) Done() <-chan struct{} { return c.done }

// Err returns nil while the chain is open, net.ErrClosed after Close, and a *LostError otherwise.
func (c *Chain) Err() error {
	if isClosed(c.done) {
		return c.err
	}
	return nil
}

// Close ends the chain and all that it carries, and waits for its tasks. The chain that it extends
// stays open. Close does not wait for the far side and may be called more than once.
func (c *Chain) Close() error {
	c.endChain(net.ErrClosed)
	c.tasks.Wait()
	return nil
}

// endChain ends the chain. Only the first reason is kept, for Err.
func (c *Chain) endChain(reason error) {
	c.end.Do(func() {
		c.mu.Lock()
		c.closing = true
		links := c.sshConns
		c.mu.Unlock()

		c.err = reason
		close(c.done)

		// Close the outermost transport first. It carries all others, and its Close cannot block.
		// An inner one would first send a disconnect through a connection that may block.
		for _, l := range links {
			_ = l.conn.Close()
		}
	})
}

// startTask runs f in a goroutine that Close waits for, or returns false if the chain has ended.
func (c *Chain) startTask(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.tasks.Go(f)
	return true
}
