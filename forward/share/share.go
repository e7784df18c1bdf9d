// Package share lets the processes of one user on one machine share one chain: the
// first that needs it dials and serves it on a unix socket, the others join within
// milliseconds and without a login of their own.
//
// # What a sharer has
//
// A *chain.Chain like any other. Each channel that it opens is opened by the owner on the
// last hop, with the same type and data, and carried both ways as it is: data, stderr, requests and
// their replies, half-close, refusals with their reason, and the window, so that who does
// not read stops only what was meant for him. A hop that a sharer adds is encrypted
// between the sharer and that hop, as ever; the owner sees what sshd on the last hop sees.
//
// # Who may join
//
// Processes of the same user: each side asks the kernel for the user id of the other, and the
// directory is the user's alone. There is no key for the socket and nothing on it is encrypted:
// who can read the user's memory needs neither, and who is another user gets nowhere. It is
// OpenSSH's rule for its ControlMaster. Where the kernel does not say who
// the other side is (Windows), nothing is shared.
//
// # Who owns
//
// Whoever holds the lock beside the socket; it goes with its process, however that ends. The owner
// listens before it dials, so that those who come at the same moment wait for it. If it has to ask its
// user something, or fails, it tells them so, and they dial themselves. It gives up its place, so that the next
// one to come dials anew, when its chain falls silent, is lost, or the owner leaves.
//
// # The end
//
// The loss of the chain is told to all sharers as the *chain.LostError that it is, and its silence as
// the owner hears of it (Options.Silence). An owner that ends tells them (Chain.Leaving) and stays until
// they have moved (Chain.Leave). If it is killed, they see that at once, and one of them becomes the owner.
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
	// defaultWait is how long another's dial is waited for: a hop that does not answer ends
	// it before.
	defaultWait = 35 * time.Second

	// stuckTimeout is how long an owner may take that gives no sign at all, be it stopped or just
	// about to listen: that takes it milliseconds.
	stuckTimeout = 2 * time.Second

	// signInterval is how often an owner that dials says so to who waits for it.
	signInterval = stuckTimeout / 4

	// maxChains connections of one place: each has its own limit of commands (sshd's MaxSessions),
	// and a site one of connections.
	maxChains = 5
)

// A DialFunc dials the chain that is to be shared, with the options that it is given. Before
// it asks a person anything, it must call their Asking; a chain's own dial does that itself.
type DialFunc func(ctx context.Context, opts chain.Options) (*chain.Chain, error)

// Dial joins the chain of another process or, if there is none, dials it and lets others
// join. Whatever stands in the way of sharing, it dials; Alone says what it was. Errors
// are those of dial, or the cause of ctx.
func Dial(ctx context.Context, rendezvous Rendezvous, opts chain.Options, dial DialFunc) (*Chain, error) {
	return newSharedDial(rendezvous, opts, dial).joinOrDial(ctx)
}

// Own dials the chain as the owner of the place, for a process that keeps it for others. The error is
// ErrTaken if another process is the owner, that of dial, or that of the place.
func Own(ctx context.Context, rendezvous Rendezvous, opts chain.Options, dial DialFunc) (*Chain, error) {
	if err := rendezvous.prepareDir(); err != nil {
		return nil, err
	}
	o, err := claimRendezvous(rendezvous)
	if err != nil {
		return nil, err
	}
	opts.Redials = func() bool { return o.clientCount() > 0 }
	c, err := newSharedDial(rendezvous, opts, dial).dialAsMaster(ctx, o)
	if err == nil {
		o.tasks.Go(func() { o.keepSpare(c.Chain) })
	}
	return c, err
}

func newSharedDial(rendezvous Rendezvous, opts chain.Options, dial DialFunc) *sharedDial {
	if opts.Silence == nil {
		opts.Silence = func(string, bool) {}
	}
	if opts.Observe == nil {
		opts.Observe = func(string, bool) {}
	}
	if opts.Asking == nil {
		opts.Asking = func() {}
	}
	return &sharedDial{rendezvous: rendezvous, opts: opts, dial: dial}
}

type sharedDial struct {
	rendezvous  Rendezvous
	opts        chain.Options
	dial        DialFunc
	silentSince time.Time // since when the place is another's who does not answer
}

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
		c, err := d.joinMaster(waiting)
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
			return d.dialAsMaster(ctx, o)
		case !errors.Is(err, ErrTaken):
			return d.dialAlone(ctx, err)
		case d.silentSince.IsZero():
			d.silentSince = time.Now()
		case time.Since(d.silentSince) > stuckTimeout:
			return d.dialAlone(ctx, errStuck)
		}
		pause := time.NewTimer(5 * time.Millisecond)
		select {
		case <-pause.C:
		case <-waiting.Done(): // join says what comes of that
			pause.Stop()
		}
	}
}

// dialAlone dials without sharing.
func (d *sharedDial) dialAlone(ctx context.Context, why error) (*Chain, error) {
	c, err := d.dial(ctx, d.opts)
	if err != nil {
		return nil, err
	}
	return d.completeChain(&Chain{Chain: c, alone: why}), nil
}

// dialAsMaster dials as o, for others too.
func (d *sharedDial) dialAsMaster(ctx context.Context, o *master) (*Chain, error) {
	c, err := d.dial(ctx, o.chainOptions(d.opts))
	o.setDialResult(c)
	if err != nil {
		o.tasks.Wait()
		return nil, err
	}
	return d.completeChain(&Chain{Chain: c, master: o}), nil
}

// completeChain completes c.
func (d *sharedDial) completeChain(c *Chain) *Chain {
	nextDial := *d
	nextDial.rendezvous.nth++
	// What runs over a further connection is told of its loss, which is enough: its silence
	// would be taken for that of this one.
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

// A Chain is a chain that may be shared.
type Chain struct {
	*chain.Chain // never to be closed but by Close

	master  *master       // nil: it is another's
	joined  *joined       // nil: it is ours
	alone   error         // why it is nobody else's
	leaving chan struct{} // closed when its owner wants to leave

	once  sync.Once
	done  chan struct{}
	err   error
	tasks sync.WaitGroup

	turn     chan struct{} // holds a token while next is dialled
	nextDial sharedDial    // of next
	mu       sync.Mutex
	next     *Chain // for commands that this one has no place for
	told     bool   // leaving is closed
}

// Joined reports whether the chain is another process's.
func (c *Chain) Joined() bool { return c.joined != nil }

// Alone says why the chain is not shared; nil: it is, or may be.
func (c *Chain) Alone() error { return c.alone }

// Leaving is closed when the process that owns the chain is about to end: it waits for
// a while until its sharers have dialled anew, and have said so by Retire.
func (c *Chain) Leaving() <-chan struct{} { return c.leaving }

// Done is closed when the chain has ended, or the further one on which some of its commands run.
func (c *Chain) Done() <-chan struct{} { return c.done }

// Err is as chain.Chain's.
func (c *Chain) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

func (c *Chain) endChain(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
		if c.master != nil {
			c.master.announceLeaving()
		}
	})
}

// followLeaving waits for the owner to leave, of this connection or a further one.
func (c *Chain) followLeaving(leaving <-chan struct{}) {
	select {
	case <-leaving:
	case <-c.Chain.Done():
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.told {
		c.told = true
		close(c.leaving)
		if c.master != nil {
			c.master.announceLeaving() // else we would join ourselves
		}
	}
}

// Retire says that the chain was replaced. What runs over it goes on; when nothing does any
// more, the process that owns it need not wait for us. It closes nothing here.
func (c *Chain) Retire() {
	if c.joined != nil {
		c.tasks.Go(c.joined.sendMoved)
	}
	if next := c.nextChain(); next != nil {
		next.Retire()
	}
}

// Leave has the owner wait until those who share its chain have moved to another, or
// ctx ends, and returns how many there still are. Nobody can join meanwhile, and the
// next to dial becomes the owner. It does nothing for who owns nothing.
func (c *Chain) Leave(ctx context.Context) (left int) {
	if c.master != nil {
		left = c.master.drainClients(ctx)
	}
	if next := c.nextChain(); next != nil {
		left += next.Leave(ctx)
	}
	return left
}

// Pause is for an owner that is about to be stopped, and may go on later: those who can move
// to another chain dial one. Guests (Place.Guest) are left where they are. It waits until
// nobody shares the chain any more, or ctx ends, and does nothing for who owns nothing.
func (c *Chain) Pause(ctx context.Context) {
	if c.master != nil {
		c.master.announcePause()
		c.master.awaitNoClients(ctx)
	}
	if next := c.nextChain(); next != nil {
		next.Pause(ctx)
	}
}

// Sharers is how many other processes share the chain.
func (c *Chain) Sharers() int {
	if c.master == nil {
		return 0
	}
	return c.master.clientCount()
}

// Users returns how many other processes share the chain, whether others may join, and a channel that is
// closed at the next change of the first. It is for who has the chain by Own.
func (c *Chain) Users() (n int, open bool, changed <-chan struct{}) { return c.master.clientStatus() }

// Shut lets no other process join. Those that share the chain keep it.
func (c *Chain) Shut() { c.master.closeRendezvous() }

// Close ends the chain, for those who share it too unless Leave was called before, and
// waits until nothing of it is running.
func (c *Chain) Close() error {
	_ = c.Chain.Close()
	if c.master != nil {
		c.master.tasks.Wait()
	}
	c.turn <- struct{}{} // no other is being dialled any more
	next := c.nextChain()
	<-c.turn
	if next != nil {
		_ = next.Close()
	}
	c.tasks.Wait()
	return nil
}

var (
	errNobody      = errors.New("nobody shares it")
	errClientOnly  = errors.New("it is for a moment only")
	errStuck       = fmt.Errorf("%w, and does not answer", ErrTaken)
	errWaitTimeout = fmt.Errorf("%w, and is not ready in time", ErrTaken)
	errAsking      = fmt.Errorf("%w, and is waiting for its user", ErrTaken)
	errVersion     = fmt.Errorf("%w, and a different version of this program", ErrTaken)
)

// ErrTaken tells that another process is the owner of a place.
var ErrTaken = errors.New("another process is its owner")
