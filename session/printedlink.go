package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/slurm"
)

const (
	printedAtOnce = 3 * time.Second  // for one search of the log, before the session is ready
	printedLater  = 20 * time.Second // for the search after that
	printedMax    = 256 << 10        // how much of the log is searched
)

// A printedLink is a link with a token that the server has printed, and the login that it gives. It
// stays in this process: no event, record or file contains it (invariant I6).
type printedLink struct {
	app.PrintedLink
	login app.PrintedLogin
}

// printed is the message of a link that was found after the session was ready.
type printed struct{ link *printedLink }

// seeksLink reports whether the server may have a login of its own and print a link.
func (s *session) seeksLink() bool {
	a := s.cfg.App
	return s.cfg.Room != nil && !a.OwnLogin && !a.Open && len(a.Query) == 0
}

// A linkSeeker searches a log for the link while it is written.
type linkSeeker struct {
	port int
	text bytes.Buffer
	link app.PrintedLink
}

var (
	errLinkFound = errors.New("the link is found")
	errNoLink    = errors.New("no link at the beginning of the log")
)

// Write implements io.Writer. It searches complete lines only.
func (l *linkSeeker) Write(p []byte) (int, error) {
	l.text.Write(p)
	whole := l.text.Bytes()[:bytes.LastIndexByte(l.text.Bytes(), '\n')+1]
	var found bool
	if l.link, found = app.FindPrintedLink(string(whole), l.port); found {
		return len(p), errLinkFound
	}
	if l.text.Len() > printedMax {
		return 0, errNoLink
	}
	return len(p), nil
}

// seekLink reads the server's log on its node, searches it for the link, and asks the server for
// the login that the link gives. If every > 0, it reads again at that interval until ctx ends. It
// returns nil if there is no link, or if the link is no login.
func (s *session) seekLink(ctx context.Context, node *chain.Chain, dial forward.Target, every time.Duration) *printedLink {
	l := &linkSeeker{port: int(s.server.portSeen.Load())}
	if err := slurm.Log(ctx, node, s.cfg.ID, 0, every, l); !errors.Is(err, errLinkFound) {
		return nil
	}
	client, base, closeIdle := s.tunnelClient(dial)
	defer closeIdle()
	login, err := l.link.Login(ctx, client, base)
	var none *app.NoLoginError
	if errors.As(err, &none) || err != nil && ctx.Err() != nil {
		return nil
	}
	return &printedLink{l.link, login}
}

// awaitLink searches for the link in a goroutine after the session is ready.
func (s *session) awaitLink(work context.Context, dial forward.Target) {
	node := s.node.chain
	s.work.Go(func() {
		ctx, stop := context.WithTimeout(work, printedLater)
		defer stop()
		if link := s.seekLink(ctx, node, dial, time.Second); link != nil {
			_ = s.sendMessage(work, printed{link})
		}
	})
}

// takeLink passes the link to the browser. If the link's cookies let a browser in, the browser gets
// these alone, so the token stays out of its history.
func (s *session) takeLink(link *printedLink) {
	a := &s.cfg.App
	a.Query = link.Query
	if a.Path == "/" {
		a.Path = link.Path
	}
	show := a.Path
	if link.login.NeedsToken {
		show += "?" + link.Query.Encode()
	}
	s.cfg.Room.Shows(show)
	s.cfg.Room.Login(link.login.Cookies)
}

// ownLink returns the server's own link with its token, for the terminal; empty if the session's
// link already is that link, or if there is no token.
func (s *sessionCore) ownLink() string {
	public, own := s.cfg.App.Link(s.localURL())
	if own == public || !s.cfg.isProtected() {
		return ""
	}
	return own
}

// localURL returns the URL of the local port.
func (s *sessionCore) localURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.listener.Port()) }

// linkPrinted reports a link that the server printed after the session was ready.
func (s *session) linkPrinted(link *printedLink) {
	s.takeLink(link)
	public, secret := s.serverLink()
	s.out.emitEvent(Event{Event: EventWarning, Message: "the server requires a login, with a link that it has printed: open " + public,
		Local: public, Link: secret, OwnLink: s.ownLink()})
}
