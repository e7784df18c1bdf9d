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
	// usual is how long another's dial is waited for: a hop that does not answer ends
	// it before.
	usual = 35 * time.Second

	// stuck is how long an owner may take that gives no sign at all, be it stopped or just
	// about to listen: that takes it milliseconds.
	stuck = 2 * time.Second

	// sign is how often an owner that dials says so to who waits for it.
	sign = stuck / 4

	// most connections of one place: each has its own limit of commands (sshd's MaxSessions),
	// and a site one of connections.
	most = 5
)

// A DialFunc dials the chain that is to be shared, with the options that it is given. Before
// it asks a person anything, it must call their Asking; a chain's own dial does that itself.
type DialFunc func(ctx context.Context, opts chain.Options) (*chain.Chain, error)

// Dial joins the chain of another process or, if there is none, dials it and lets others
// join. Whatever stands in the way of sharing, it dials; Alone says what it was. Errors
// are those of dial, or the cause of ctx.
func Dial(ctx context.Context, place Place, opts chain.Options, dial DialFunc) (*Chain, error) {
	return newDialling(place, opts, dial).run(ctx)
}

// Own dials the chain as the owner of the place, for a process that keeps it for others. The error is
// ErrTaken if another process is the owner, that of dial, or that of the place.
func Own(ctx context.Context, place Place, opts chain.Options, dial DialFunc) (*Chain, error) {
	if err := place.prepare(); err != nil {
		return nil, err
	}
	o, err := claim(place)
	if err != nil {
		return nil, err
	}
	opts.Redials = func() bool { return o.count() > 0 }
	c, err := newDialling(place, opts, dial).own(ctx, o)
	if err == nil {
		o.tasks.Go(func() { o.keepSpare(c.Chain) })
	}
	return c, err
}

func newDialling(place Place, opts chain.Options, dial DialFunc) *dialling {
	if opts.Silence == nil {
		opts.Silence = func(string, bool) {}
	}
	if opts.Observe == nil {
		opts.Observe = func(string, bool) {}
	}
	if opts.Asking == nil {
		opts.Asking = func() {}
	}
	return &dialling{place: place, opts: opts, dial: dial}
}

type dialling struct {
	place Place
	opts  chain.Options
	dial  DialFunc
	quiet time.Time // since when the place is another's who does not answer
}

func (d *dialling) run(ctx context.Context) (*Chain, error) {
	if err := d.place.prepare(); err != nil {
		return d.alone(ctx, err)
	}
	wait := d.place.Wait
	if wait <= 0 {
		wait = usual
	}
	waiting, enough := runclock.WithTimeoutCause(ctx, wait, errPatience)
	defer enough()
	for {
		c, err := d.join(waiting)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !errors.Is(err, errNobody):
			return d.alone(ctx, err)
		case d.place.Guest:
			return d.alone(ctx, errGuest)
		}
		o, err := claim(d.place)
		switch {
		case err == nil:
			return d.own(ctx, o)
		case !errors.Is(err, ErrTaken):
			return d.alone(ctx, err)
		case d.quiet.IsZero():
			d.quiet = time.Now()
		case time.Since(d.quiet) > stuck:
			return d.alone(ctx, errStuck)
		}
		pause := time.NewTimer(5 * time.Millisecond)
		select {
		case <-pause.C:
		case <-waiting.Done(): // join says what comes of that
			pause.Stop()
		}
	}
}

// alone dials without sharing.
func (d *dialling) alone(ctx context.Context, why error) (*Chain, error) {
	c, err := d.dial(ctx, d.opts)
	if err != nil {
		return nil, err
	}
	return d.chain(&Chain{Chain: c, alone: why}), nil
}

// own dials as o, for others too.
func (d *dialling) own(ctx context.Context, o *owner) (*Chain, error) {
	c, err := d.dial(ctx, o.options(d.opts))
	o.dialled(c)
	if err != nil {
		o.tasks.Wait()
		return nil, err
	}
	return d.chain(&Chain{Chain: c, owner: o}), nil
}

// chain completes c.
func (d *dialling) chain(c *Chain) *Chain {
	further := *d
	further.place.nth++
	// What runs over a further connection is told of its loss, which is enough: its silence
	// would be taken for that of this one.
	further.opts.Silence, further.opts.Redials = func(string, bool) {}, nil
	further.opts.Observe = func(string, bool) {}
	c.further, c.turn = further, make(chan struct{}, 1)
	c.done, c.leaving = make(chan struct{}), make(chan struct{})
	c.tasks.Go(func() {
		<-c.Chain.Done()
		c.end(c.Chain.Err())
	})
	if c.sharer != nil {
		c.tasks.Go(func() { c.followLeaving(c.sharer.leaving) })
	}
	return c
}

// A Chain is a chain that may be shared.
type Chain struct {
	*chain.Chain // never to be closed but by Close

	owner   *owner        // nil: it is another's
	sharer  *joined       // nil: it is ours
	alone   error         // why it is nobody else's
	leaving chan struct{} // closed when its owner wants to leave

	once  sync.Once
	done  chan struct{}
	err   error
	tasks sync.WaitGroup

	turn    chan struct{} // holds a token while next is dialled
	further dialling      // of next
	mu      sync.Mutex
	next    *Chain // for commands that this one has no place for
	told    bool   // leaving is closed
}

// Joined reports whether the chain is another process's.
func (c *Chain) Joined() bool { return c.sharer != nil }

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

func (c *Chain) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
		if c.owner != nil {
			c.owner.abandon()
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
		if c.owner != nil {
			c.owner.abandon() // else we would join ourselves
		}
	}
}

// Retire says that the chain was replaced. What runs over it goes on; when nothing does any
// more, the process that owns it need not wait for us. It closes nothing here.
func (c *Chain) Retire() {
	if c.sharer != nil {
		c.tasks.Go(c.sharer.moved)
	}
	if next := c.another(); next != nil {
		next.Retire()
	}
}

// Leave has the owner wait until those who share its chain have moved to another, or
// ctx ends, and returns how many there still are. Nobody can join meanwhile, and the
// next to dial becomes the owner. It does nothing for who owns nothing.
func (c *Chain) Leave(ctx context.Context) (left int) {
	if c.owner != nil {
		left = c.owner.leave(ctx)
	}
	if next := c.another(); next != nil {
		left += next.Leave(ctx)
	}
	return left
}

// Pause is for an owner that is about to be stopped, and may go on later: those who can move
// to another chain dial one. Guests (Place.Guest) are left where they are. It waits until
// nobody shares the chain any more, or ctx ends, and does nothing for who owns nothing.
func (c *Chain) Pause(ctx context.Context) {
	if c.owner != nil {
		c.owner.pause()
		c.owner.empty(ctx)
	}
	if next := c.another(); next != nil {
		next.Pause(ctx)
	}
}

// Sharers is how many other processes share the chain.
func (c *Chain) Sharers() int {
	if c.owner == nil {
		return 0
	}
	return c.owner.count()
}

// Users returns how many other processes share the chain, whether others may join, and a channel that is
// closed at the next change of the first. It is for who has the chain by Own.
func (c *Chain) Users() (n int, open bool, changed <-chan struct{}) { return c.owner.users() }

// Shut lets no other process join. Those that share the chain keep it.
func (c *Chain) Shut() { c.owner.shut() }

// Close ends the chain, for those who share it too unless Leave was called before, and
// waits until nothing of it is running.
func (c *Chain) Close() error {
	_ = c.Chain.Close()
	if c.owner != nil {
		c.owner.tasks.Wait()
	}
	c.turn <- struct{}{} // no other is being dialled any more
	next := c.another()
	<-c.turn
	if next != nil {
		_ = next.Close()
	}
	c.tasks.Wait()
	return nil
}

var (
	errNobody   = errors.New("nobody shares it")
	errGuest    = errors.New("it is for a moment only")
	errStuck    = fmt.Errorf("%w, and does not answer", ErrTaken)
	errPatience = fmt.Errorf("%w, and is not ready in time", ErrTaken)
	errAsking   = fmt.Errorf("%w, and is waiting for its user", ErrTaken)
	errVersion  = fmt.Errorf("%w, and a different version of this program", ErrTaken)
)

// ErrTaken tells that another process is the owner of a place.
var ErrTaken = errors.New("another process is its owner")
