// Package browser opens the user's browser at a link that has a secret in it,
// without the secret being in any process's arguments, which every user of the
// machine can read (invariant I6).
//
// On Linux the browser is given another link, to a server of our own on a
// loopback port. It works once, for 30 s, and only for a process of this user,
// which the kernel vouches for; the answer is a redirect to the real one. A
// file would do as well but for browsers in a sandbox (snap, flatpak), which
// see neither /tmp nor hidden directories. Elsewhere nobody vouches for the
// owner of a connection, and it is a file that only this user can read.
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
	"time"
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

// Open shows link, an http URL with a secret in it, in the user's browser. It
// returns when the browser has followed it, or, where that cannot be seen, when
// the link has had its time ([Lifetime]). In any case nothing but the browser
// is left then.
//
// The error is [ErrNoBrowser], a [*LaunchError], an [*UnusedError], or ctx's
// own; none has the secret in it.
func Open(ctx context.Context, link string) error {
	if !CanOpen() {
		return ErrNoBrowser
	}
	if err := check(link); err != nil {
		return err
	}
	return newOpener().open(ctx, link)
}

// check sees that link is one for a browser, not for whatever else the desktop
// may have a handler for.
func check(link string) error {
	u, err := url.Parse(link)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("open browser: the link is no http address")
	}
	return nil
}

// An opener is Open with its outside: how a browser is started, how time
// passes, who asks. Each system has its own open.
type opener struct {
	start func(ctx context.Context, at string) (*launch, error)
	after func(time.Duration) <-chan time.Time
	peer  peerFunc
}

func newOpener() *opener {
	return &opener{start: startHelper, after: time.After, peer: peerUID}
}

// await waits for the browser to use the link, and for what may come first.
func (o *opener) await(ctx context.Context, at string, used <-chan struct{}, unused func() error) error {
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
