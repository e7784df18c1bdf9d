// Package browser opens the user's browser at a place that is not for everybody, without a
// secret being in any process's arguments, which every user of the machine can read, or in
// the browser's history (invariant I6).
//
// The browser is given a link to a server of our own on a loopback port, which works once
// and for 30 s. The answer is a redirect, with the cookies that let the browser in. On Linux
// the link works for no process of another user, whom the kernel names, and so it
// may be seen. Elsewhere nobody vouches for the owner of a connection: there it is in a file that
// only this user can read, and the browser is given that. (Not on Linux: browsers in a
// sandbox, snap or flatpak, see neither /tmp nor hidden directories.)
//
// The browser is started by a child of ours, see [Helper], in a session of its
// own: otherwise Ctrl-C, by which most runs of cscs end, would reach a browser
// that was not running before, and end it too.
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

// Lifetime is how long the browser has to use the link.
const Lifetime = 30 * time.Second

// ErrNoBrowser tells that there is no browser, or no display for one.
var ErrNoBrowser = errors.New("open browser: none that could show itself here")

// A LaunchError tells that no browser could be started.
type LaunchError struct {
	Err error
}

func (e *LaunchError) Error() string { return fmt.Sprintf("open browser: %v", e.Err) }
func (e *LaunchError) Unwrap() error { return e.Err }

// An UnusedError tells that a browser was started, as far as can be seen, but
// did not ask for the link in time.
type UnusedError struct {
	After   time.Duration
	Refused string // who did ask, and was refused; empty: nobody
}

func (e *UnusedError) Error() string {
	s := fmt.Sprintf("open browser: it did not follow the link within %v", e.After)
	if e.Refused != "" {
		s += "; " + e.Refused + " did and was refused"
	}
	return s
}

// A Way is where a browser is sent, and what lets it in there.
type Way struct {
	URL     string
	Cookies []string // as in Set-Cookie (RFC 6265, section 4.1), for all ports of 127.0.0.1
}

// To is the way to an address that needs nothing else.
func To(address string) func() Way {
	return func() Way { return Way{URL: address} }
}

// Open shows the user's browser a way, which it is asked for when the browser has come. Its
// URL is an http URL. It
// returns when the browser was sent on, or when the link has had its time ([Lifetime]). In any
// case nothing but the browser is left then.
//
// The error is [ErrNoBrowser], a [*LaunchError], an [*UnusedError], or ctx's
// own; none has a secret in it.
func Open(ctx context.Context, way func() Way) error {
	if !CanOpen() {
		return ErrNoBrowser
	}
	if err := checkLink(way().URL); err != nil {
		return err
	}
	return newOpener().open(ctx, way)
}

// checkLink sees that link is one for a browser, not for whatever else the desktop
// may have a handler for.
func checkLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("open browser: the link is no http address")
	}
	return nil
}

// An opener is Open with its outside: how a browser is started, how time
// passes, who asks.
type opener struct {
	start func(ctx context.Context, at string) (*launch, error)
	after func(time.Duration) <-chan time.Time
	peer  peer.Func // nil: nobody can say that
}

func newOpener() *opener {
	o := &opener{start: startHelper, after: time.After}
	if runtime.GOOS == "linux" {
		o.peer = peer.UID
	}
	return o
}

// awaitLinkUse waits for the browser to use the link, and for what may come first.
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
			ended = nil // it has passed the link on; now it is up to the browser
		case <-expired:
			return unused()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
