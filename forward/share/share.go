// Package share lets the processes of one user on one machine share one chain. The first process
// that needs the chain dials it and serves it on a unix socket. It is the sharing process. The
// others, the clients, join within milliseconds and without a login of their own.
//
// # What a client gets
//
// A client gets a *chain.Chain like any other. The sharing process opens each channel of the client
// on the last hop, with the same type and data. It passes everything on both ways as it is: data,
// stderr, requests, replies, half-close, refusals with their reason, and the window. So a client
// that does not read stops only its own data. A hop that a client adds is encrypted between that
// client and the hop. The sharing process sees what sshd on the last hop sees.
//
// # Which processes may join
//
// Only processes of the same user may join. Each side asks the kernel for the user ID of the other,
// and the directory is the user's alone. The socket has no key and no encryption: a process that
// can read the user's memory needs neither, and another user is refused. OpenSSH has the same rule
// for its ControlMaster. Where the kernel does not name the peer (Windows), nothing is shared.
//
// # Which process shares
//
// The sharing process is the process that holds the lock beside the socket. The lock ends with its
// process, however that ends. The sharing process listens before it dials, so processes that start
// at the same moment wait for it. If it has to ask its user something, it tells them so, and they
// dial themselves. If its dial fails, the next of them becomes the sharing process. The sharing
// process releases the rendezvous when its chain falls silent or is lost, or when it leaves. The
// next process then dials anew.
//
// # The end
//
// The sharing process passes the loss of the chain on to all clients as the *chain.LostError that
// it is, and a silence as it learns of it (Options.Silence). A sharing process that ends tells them
// (Chain.Leaving) and stays until they have moved (Chain.Leave). If the sharing process is killed,
// they notice at once, and one of them becomes the sharing process.
package share

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

const (
	// defaultWait is how long a process waits for the dial of another one. A hop that does not
	// answer ends that dial earlier.
	defaultWait = 35 * time.Second

	// stuckTimeout is how long a sharing process may give no sign, because it is stopped or about
	// to listen. The latter takes milliseconds.
	stuckTimeout = 2 * time.Second

	// signInterval is how often a sharing process that dials gives a sign to those that wait.
	signInterval = stuckTimeout / 4

	// maxChains is the largest number of connections for the same way. Each has its own limit of
	// commands (sshd's MaxSessions), and a site limits the connections.
	maxChains = 5
)

// A DialFunc dials the chain that is to be shared, with the options that it gets. It must call
// their Asking before it asks the user anything. During a chain's own dial, chain calls it.
type DialFunc func(ctx context.Context, opts chain.Options) (*chain.Chain, error)

// Dial joins the chain of another process. If there is none, it dials the chain and lets other
// processes join. If sharing is not possible, it dials without sharing, and Alone returns the
// reason. The error is that of dial, or the cause of ctx.
func Dial(ctx context.Context, rendezvous Rendezvous, opts chain.Options, dial DialFunc) (*Chain, error) {
	return newSharedDial(rendezvous, opts, dial).joinOrDial(ctx)
}

// Own dials the chain as the sharing process, for a process that keeps it for others. The error is
// ErrTaken if another process is the sharing process, that of dial, or that of the rendezvous.
func Own(ctx context.Context, rendezvous Rendezvous, opts chain.Options, dial DialFunc) (*Chain, error) {
	if err := rendezvous.prepareDir(); err != nil {
		return nil, err
	}
	o, err := claimRendezvous(rendezvous)
	if err != nil {
		return nil, err
	}
	opts.Redials = func() bool { return o.clientCount() > 0 }
	c, err := newSharedDial(rendezvous, opts, dial).dialAndShare(ctx, o)
	if err == nil {
		o.tasks.Go(func() { o.keepSpare(c.Chain) })
	}
	return c, err
}

func newSharedDial(rendezvous Rendezvous, opts chain.Options, dial DialFunc) *sharedDial {
	return &sharedDial{rendezvous: rendezvous, opts: opts.WithDefaults(), dial: dial}
}

// A sharedDial is one call of Dial or Own.
type sharedDial struct {
	rendezvous  Rendezvous
	opts        chain.Options
	dial        DialFunc
	silentSince time.Time // since when another process has the lock but does not listen
}

// joinOrDial joins the sharing process, or becomes it, or dials alone.
func (d *sharedDial) joinOrDial(ctx context.Context) (*Chain, error) {
	if err := d.rendezvous.prepareDir(); err != nil {
		return d.dialAlone(ctx, err)
	}
	wait := d.rendezvous.Wait
	if wait <= 0 {
		wait = defaultWait
	}
	waiting, enough := runclock.WithTimeoutCause(ctx, wait, errWaitTimeout)
	defer enough()
	for {
		c, err := d.joinSharingProcess(waiting)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, errNobody):
			return d.dialAlone(ctx, err)
		case d.rendezvous.ClientOnly:
			return d.dialAlone(ctx, errClientOnly)
		}
		o, err := claimRendezvous(d.rendezvous)
		switch {
		case err == nil:
			return d.dialAndShare(ctx, o)
		case !errors.Is(err, ErrTaken):
			return d.dialAlone(ctx, err)
		case d.silentSince.IsZero():
			d.silentSince = time.Now()
		case time.Since(d.silentSince) > stuckTimeout:
			return d.dialAlone(ctx, errStuck)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-waiting.Done(): // joinSharingProcess then returns the reason
		}
	}
}

// dialAlone dials without sharing, for the reason why.
func (d *sharedDial) dialAlone(ctx context.Context, why error) (*Chain, error) {
	c, err := d.dial(ctx, d.opts)
	if err != nil {
		return nil, err
	}
	return d.completeChain(&Chain{Chain: c, alone: why}), nil
}

// dialAndShare dials as the sharing process o, for other processes too.
func (d *sharedDial) dialAndShare(ctx context.Context, o *sharingProcess) (*Chain, error) {
	c, err := d.dial(ctx, o.chainOptions(d.opts))
	o.setDialResult(c)
	if err != nil {
		o.tasks.Wait()
		return nil, err
	}
	return d.completeChain(&Chain{Chain: c, sharing: o}), nil
}

// completeChain sets the fields of c that do not depend on its origin, and starts its tasks.
func (d *sharedDial) completeChain(c *Chain) *Chain {
	nextDial := *d
	nextDial.rendezvous.nth++
	// Commands on a further connection learn of its loss, which is enough. Its silence would be
	// taken for that of this connection.
	nextDial.opts.Silence, nextDial.opts.Redials = func(string, bool) {}, nil
	nextDial.opts.Observe = func(string, bool) {}
	c.nextDial, c.turn = nextDial, make(chan struct{}, 1)
	c.done, c.leaving = make(chan struct{}), make(chan struct{})
	c.tasks.Go(func() {
		<-c.Chain.Done()
		c.endChain(c.Chain.Err())
	})
	if c.joined != nil {
		c.tasks.Go(func() { c.followLeaving(c.joined.leaving) })
	}
	return c
}

// A Chain is a chain that may be shared with other processes.
type Chain struct {
	*chain.Chain // closed by Close only

	sharing *sharingProcess // nil if this process is not the sharing process
	joined  *joined         // nil if this process dialled the chain
	alone   error           // why it is not shared
	leaving chan struct{}   // closed when the sharing process wants to leave
	told    sync.Once       // closes leaving

	once  sync.Once
	done  chan struct{}
	err   error
	tasks sync.WaitGroup

	turn     chan struct{} // holds a token while next is dialled
	nextDial sharedDial    // dials next
	mu       sync.Mutex
	next     *Chain // for the commands that the host refuses on this one
}

// Joined reports whether the chain belongs to another process.
func (c *Chain) Joined() bool { return c.joined != nil }

// Alone returns why the chain is not shared, or nil if it is or may be.
func (c *Chain) Alone() error { return c.alone }

// Leaving returns a channel that is closed when the sharing process is about to end. For a while,
// the sharing process waits until its clients have dialled anew and have called Retire.
func (c *Chain) Leaving() <-chan struct{} { return c.leaving }

// Done returns a channel that is closed when the chain has ended, or the further connection on
// which some of its commands run.
func (c *Chain) Done() <-chan struct{} { return c.done }

// Err returns why Done is closed, as that of chain.Chain does.
func (c *Chain) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// endChain closes Done with the first err given. A sharing process then asks its clients to move.
func (c *Chain) endChain(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
		if c.sharing != nil {
			c.sharing.announceLeaving()
		}
	})
}

// followLeaving closes c.leaving when the sharing process of a connection, this or a further one,
// leaves.
func (c *Chain) followLeaving(leaving <-chan struct{}) {
	select {
	case <-leaving:
	case <-c.Chain.Done():
		return
	}
	c.told.Do(func() {
		close(c.leaving)
		if c.sharing != nil {
			c.sharing.announceLeaving() // otherwise this process would join itself
		}
	})
}

// Retire tells the sharing process that this process has replaced the chain. Open channels
// continue. When none is left, the sharing process need not wait for this process. Retire closes
// nothing here.
func (c *Chain) Retire() {
	if c.joined != nil {
		c.tasks.Go(c.joined.sendMoved)
	}
	if next := c.nextChain(); next != nil {
		next.Retire()
	}
}

// Leave asks the clients to move to another chain and waits until they have done so, or ctx ends.
// It returns how many clients remain. Meanwhile no process can join, and the next one that dials
// becomes the sharing process. Leave does nothing in a process that is not the sharing process.
func (c *Chain) Leave(ctx context.Context) (left int) {
	if c.sharing != nil {
		c.sharing.announceLeaving()
		left = c.sharing.awaitNoClients(ctx)
	}
	if next := c.nextChain(); next != nil {
		left += next.Leave(ctx)
	}
	return left
}

// Pause is for a sharing process that is about to be stopped and may continue later. The clients
// that can move dial another chain; those with Rendezvous.ClientOnly stay. Pause waits until no
// client is left, or ctx ends. It does nothing in a process that is not the sharing process.
func (c *Chain) Pause(ctx context.Context) {
	if c.sharing != nil {
		c.sharing.announcePause()
		c.sharing.awaitNoClients(ctx)
	}
	if next := c.nextChain(); next != nil {
		next.Pause(ctx)
	}
}

// Sharers returns how many other processes share the chain.
func (c *Chain) Sharers() int {
	if c.sharing == nil {
		return 0
	}
	return c.sharing.clientCount()
}

// Users returns how many other processes share the chain, whether others may join, and a channel
// that is closed when the number changes. It is only for a chain from Own.
func (c *Chain) Users() (n int, open bool, changed <-chan struct{}) { return c.sharing.clientStatus() }

// Shut lets no further process join. Those that share the chain keep it. It is only for a chain
// from Own.
func (c *Chain) Shut() { c.sharing.closeRendezvous() }

// Close ends the chain and waits until all its goroutines have ended. Its clients lose the chain
// too, unless Leave was called before.
func (c *Chain) Close() error {
	_ = c.Chain.Close()
	if c.sharing != nil {
		c.sharing.tasks.Wait()
	}
	c.turn <- struct{}{} // no further dial is in progress
	next := c.nextChain()
	<-c.turn
	if next != nil {
		_ = next.Close()
	}
	c.tasks.Wait()
	return nil
}

var (
	errNobody      = errors.New("no process shares it")
	errClientOnly  = errors.New("it is for a moment only")
	errStuck       = fmt.Errorf("%w, and does not answer", ErrTaken)
	errWaitTimeout = fmt.Errorf("%w, and is not ready in time", ErrTaken)
	errAsking      = fmt.Errorf("%w, and is waiting for its user", ErrTaken)
	errVersion     = fmt.Errorf("%w, and a different version of this program", ErrTaken)
)

// ErrTaken means that another process is the sharing process.
var ErrTaken = errors.New("another process is its owner")
