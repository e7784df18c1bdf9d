// Package browser opens the user's browser at a page for this user only. No process has the secret in
// its arguments, which every user of the machine can read, and it does not enter the browser's history
// (invariant I6).
//
// The browser gets a link to a server of this package on a loopback port. The link works once, within
// 30 s. The answer is a redirect with the cookies that the page needs. On Linux the kernel names the
// user of a connection, and the link works for no process of another user. So it may be visible.
// Elsewhere the link is in a file that only this user can read, and the browser gets the file. (Not on
// Linux: browsers in a sandbox, snap or flatpak, see neither /tmp nor hidden directories.)
//
// A child process starts the browser, in a session of its own (see [Helper]). Otherwise Ctrl-C, which
// ends most runs of cscs, would also end a browser that the child has started.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"time"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// Lifetime is how long the link is valid.
const Lifetime = 30 * time.Second

// ErrNoBrowser reports that there is no browser, or no display for one.
var ErrNoBrowser = errors.New("open browser: none that could show itself here")

// A LaunchError reports that no browser could be started.
type LaunchError struct {
	Err error
}

func (e *LaunchError) Error() string { return fmt.Sprintf("open browser: %v", e.Err) }
func (e *LaunchError) Unwrap() error { return e.Err }

// An UnusedError reports that the browser was started, apparently, but did not request the link in time.
type UnusedError struct {
	After   time.Duration
	Refused string // who requested it and was refused; may be empty
}

func (e *UnusedError) Error() string {
	s := fmt.Sprintf("open browser: it did not open the link within %v", e.After)
	if e.Refused != "" {
		s += "; " + e.Refused + " did and was refused"
	}
	return s
}

// A Way is the address for the browser, with the cookies that it needs there.
type Way struct {
	URL     string
	Cookies []string // as in Set-Cookie (RFC 6265, section 4.1), for all ports of 127.0.0.1
}

// To returns a way to an address that needs no cookies.
func To(address string) func() Way {
	return func() Way { return Way{URL: address} }
}

// Open opens the way in the user's browser. It calls way once to check the URL, which is http or https,
// and again when the browser has requested the link. It returns when the browser is redirected, or when
// the link expires ([Lifetime]). Nothing but the browser remains then.
//
// The error is [ErrNoBrowser], a [*LaunchError], an [*UnusedError], or ctx's own. None contains a secret.
func Open(ctx context.Context, way func() Way) error {
	if !CanOpen() {
		return ErrNoBrowser
	}
	if err := checkLink(way().URL); err != nil {
		return err
	}
	return newOpener().open(ctx, way)
}

// checkLink refuses a URL that is not for a browser. The desktop may have other handlers.
func checkLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("open browser: the link is no http address")
	}
	return nil
}

// An opener contains what Open needs from outside: how to start a browser, a timer, and the user of a connection.
type opener struct {
	start func(ctx context.Context, at string) (*launch, error)
	after func(time.Duration) <-chan time.Time
	peer  peer.Func // nil: the system does not name users
}

func newOpener() *opener {
	o := &opener{start: startHelper, after: time.After}
	if runtime.GOOS == "linux" {
		o.peer = peer.UID
	}
	return o
}

// awaitLinkUse starts the browser. It waits until the browser has used the link, for at most Lifetime.
func (o *opener) awaitLinkUse(ctx context.Context, at string, used <-chan struct{}, unused func() error) error {
	l, err := o.start(ctx, at)
	if err != nil {
		return &LaunchError{Err: err}
	}
	defer l.release()
	expired := o.after(Lifetime)
	for ended := l.ended; ; {
		select {
		case <-used:
			return nil
		case err := <-ended:
			if err != nil {
				return &LaunchError{Err: err}
			}
			ended = nil // the helper has passed the link to the browser
		case <-expired:
			return unused()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
