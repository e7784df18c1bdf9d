package session

import (
	"context"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/sessionid"
	"github.com/alps-tunnel/cscs/slurm"
)

// Config is everything that a session needs to know; it looks nothing up.
type Config struct {
	ID      string // see NewID
	Cluster string // as events name it
	Client  string // who attends it, as others see it: "alice on her laptop"
	Job     string // for Stop: its job's number, if known

	Hops  []chain.Hop // to the login node, in order
	Chain chain.Options
	// Dial makes the chain to the login node, which other processes may share; nil: one of
	// our own, of Hops. It is called again whenever the connection was lost, perhaps days
	// later and with another key; for want of one that is good, its error is a
	// *chain.KeyError.
	Dial    func(context.Context, chain.Options) (*share.Chain, error)
	NodeHop func(node string, keys chain.HostKeys) chain.Hop // from the login node to a compute node

	App     app.App
	Request slurm.Request
	Launch  slurm.Launch // Argv, Env, Unset, Files, Port and Reads are the App's; Wish the session's

	LocalPort    int           // 0: the app's, or the next free one
	Lease        time.Duration // how long the job may run without a client; 0: for ever
	QueueTimeout time.Duration // from the request to its grant
	StartTimeout time.Duration // from the grant to ready; 0: for ever
	Idle         time.Duration // without use, after which the session ends; 0: never

	acceptsPort  func(port int) bool // for tests: which further ports count; nil: all
	admission    time.Duration       // likewise: how long a node may refuse us; 0: see there
	slowResponse time.Duration       // likewise: for how long nothing may be heard before that is told

	wish int // see Launch

	redialLimit time.Duration // likewise: how long a lost chain is dialled, and failed events are read, again

	// Detach leaves the session as soon as its job is in the queue; there is no local port
	// then.
	Detach bool

	Metrics *Metrics // for who wants to see what is carried; may be nil

	LogDir string // where the server's log is kept on the laptop; "": it is thrown away

	// Room answers at the local port while the server does not; nil: connections wait.
	Room Room
	// Protect lets only those browsers in that come by the Room's link. nil: for one that is
	// attached to, as the session says of itself, else not.
	Protect *bool

	// Open shows the link in a browser and returns when it has been used, or why
	// it was not. nil: no browser. With a Room it is called as soon as the job is in the queue, and
	// the link has no secret in it.
	Open func(ctx context.Context, link string) error

	// Explain turns an error into what the user is told and the exit code.
	Explain func(error) Explanation

	// The end of Hurry ends every grace; that of Abandon ends everything at once,
	// at the price of a job that may remain. Either may be nil.
	Hurry, Abandon context.Context
}

// An Explanation is an error as the user is told it.
type Explanation struct {
	Message string
	Hint    string // a line for each
	Code    int    // the exit code
}

// inlineHint is the hints in one line.
func (x Explanation) inlineHint() string { return strings.ReplaceAll(x.Hint, "\n", "; ") }

// NewID returns a session ID.
func NewID() string { return sessionid.New() }

// isProtected reports whether the local ports let in only whom the Room does.
func (c *Config) isProtected() bool { return c.Room != nil && c.Protect != nil && *c.Protect }

// dialLogin makes a chain to the login node.
func (c *Config) dialLogin(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	if c.Dial != nil {
		return c.Dial(ctx, opts)
	}
	return share.Dial(ctx, share.Rendezvous{}, opts, func(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
		return chain.Dial(ctx, c.Hops, opts)
	})
}

// buildLaunch is how the app is started, put together from what the app needs and
// what the user asked for. The app's own environment wins: its safety rests on it.
func (c *Config) buildLaunch() slurm.Launch {
	l := c.Launch
	l.Argv, l.Files, l.Port, l.Reads, l.Wish = c.App.Argv, c.App.Files, c.App.Port, c.App.Reads, c.wish
	l.Package, l.Program = c.App.Package, c.App.Program
	l.Unset = append(append([]string(nil), c.App.Unset...), l.Unset...)
	env := make(map[string]string, len(c.App.Env)+len(l.Env))
	for k, v := range l.Env {
		env[k] = v
	}
	for k, v := range c.App.Env {
		env[k] = v
	}
	l.Env = env
	if l.Grace == 0 {
		l.Grace = stopGrace
	}
	c.addAbout(&l)
	return l
}
