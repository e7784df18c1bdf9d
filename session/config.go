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

// Config is everything that a session needs to know. The session looks nothing up.
type Config struct {
	ID      string // see NewID
	Cluster string // as events name it
	Client  string // this client, as others see it: "alice on her laptop"
	Job     string // for Stop: the job's number, if known

	Hops  []chain.Hop // to the login node, in order
	Chain chain.Options
	// Dial makes the chain to the login node, which other processes may share. nil: the session
	// dials its own chain over Hops. The session calls it again after each lost connection, perhaps
	// days later and with another key. If no key is valid, its error is a *chain.KeyError.
	Dial    func(context.Context, chain.Options) (*share.Chain, error)
	NodeHop func(node string, keys chain.HostKeys) chain.Hop // from the login node to a compute node

	App     app.App
	Request slurm.Request
	Launch  slurm.Launch // see buildLaunch for the fields that the App sets

	LocalPort    int           // 0: the app's port, or the next free one
	Lease        time.Duration // how long the job may run without a client; 0: forever
	QueueTimeout time.Duration // from the request to its grant
	StartTimeout time.Duration // from the grant to ready; 0: no limit
	Idle         time.Duration // time without use after which the session ends; 0: never

	acceptsPort  func(port int) bool // for tests: which further ports count; nil: all
	admission    time.Duration       // for tests: how long a node may refuse the client; 0: see the constant
	slowResponse time.Duration       // for tests: how long a silence lasts until it is reported

	wish int // see slurm.Launch

	redialLimit time.Duration // for tests: how long a lost chain or failed reading is tried again

	// Detach leaves the session as soon as its job is in the queue. Then there is no local port.
	Detach bool

	Metrics *Metrics // counters of the local ports; may be nil

	LogDir string // where the laptop keeps the server's log; "": nowhere

	// Room answers at the local port while the server does not. nil: connections wait.
	Room Room
	// Protect has the Room judge every connection to the local ports (--protect). nil: as the
	// session was begun, for Attach; otherwise false.
	Protect *bool

	// Open shows the link in a browser. It returns when the browser has used it, or the reason why
	// not. nil: no browser. With a Room, the session calls it as soon as the job is queued, and the
	// link contains no secret.
	Open func(ctx context.Context, link string) error

	// Explain turns an error into the user's message and the exit code.
	Explain func(error) Explanation

	// When Grace ends, every grace period ends. When Abandon ends, the teardown ends at once, and a
	// job may remain. Either may be nil.
	Grace, Abandon context.Context
}

// An Explanation is an error as the user sees it.
type Explanation struct {
	ID      string // of the problem, see internal/problem
	Message string
	Hint    string // one line for each hint
	Code    int    // the exit code
}

// inlineHint returns the hints in one line.
func (x Explanation) inlineHint() string { return strings.ReplaceAll(x.Hint, "\n", "; ") }

// NewID returns a session ID.
func NewID() string { return sessionid.New() }

// isProtected reports whether the Room judges every connection to the local ports.
func (c *Config) isProtected() bool { return c.Room != nil && c.Protect != nil && *c.Protect }

// dialLogin dials a chain to the login node.
func (c *Config) dialLogin(ctx context.Context, opts chain.Options) (*share.Chain, error) {
	if c.Dial != nil {
		return c.Dial(ctx, opts)
	}
	return share.Dial(ctx, share.Rendezvous{}, opts, func(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
		return chain.Dial(ctx, c.Hops, opts)
	})
}

// buildLaunch returns how to start the app: the app's fields together with the user's. The app's
// own environment takes precedence, since its security depends on it.
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
