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
	printedAtOnce = 3 * time.Second  // for one look at the log, before the session is ready
	printedLater  = 20 * time.Second // for how long a server that listens may still print its link
	printedMax    = 256 << 10        // how much of the log is searched
)

// A printedLink is the link with a token that the server has printed, and what it lets in by. It stays
// in this process: no event, record or file has it (invariant I6).
type printedLink struct {
	app.PrintedLink
	login app.PrintedLogin
}

// printed is the message of a link that was found when the session was ready already.
type printed struct{ link *printedLink }

// seeksLink reports whether the server may have a login of its own, and print a link.
func (s *session) seeksLink() bool {
	a := s.cfg.App
	return s.cfg.Room != nil && !a.OwnLogin && !a.Open && len(a.Query) == 0
}

// A linkSeeker is a log, as it comes, in which the link is looked for.
type linkSeeker struct {
	port int
	text bytes.Buffer
	link app.PrintedLink
}

var (
	errLinkFound = errors.New("the link is found")
	errNoLink    = errors.New("no link at the beginning of the log")
)

// Write implements io.Writer. A line without its end may go on.
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

// seekLink looks in the server's log, which its node reads, for the link that it prints, and asks
// the server for what that lets in by; nil: there is none, or it is no way to log in. every > 0: again and again, for as long as ctx.
func (s *session) seekLink(ctx context.Context, node *chain.Chain, dial forward.Target, every time.Duration) *printedLink {
	l := &linkSeeker{port: int(s.portSeen.Load())}
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

// awaitLink goes on looking when the session is ready.
func (s *session) awaitLink(work context.Context, dial forward.Target) {
	node := s.node
	s.work.Go(func() {
		ctx, stop := context.WithTimeout(work, printedLater)
		defer stop()
		if link := s.seekLink(ctx, node, dial, time.Second); link != nil {
			_ = s.sendMessage(work, printed{link})
		}
	})
}

// takeLink gives the link to the browser: as cookies where those let in, so that the token stays out of its history.
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

// ownLink is the server's own link with its token, for the terminal; empty: it has none that is not shown anyway.
func (s *session) ownLink() string {
	public, own := s.cfg.App.Link(s.localURL())
	if own == public || !s.cfg.isProtected() {
		return ""
	}
	return own
}

// localURL is the address of the local port.
func (s *session) localURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.listener.Port()) }

// linkPrinted takes in a link that the server has printed after it was ready.
func (s *session) linkPrinted(link *printedLink) {
	s.takeLink(link)
	public, secret := s.serverLink()
	s.out.emitEvent(Event{Event: EventWarning, Message: "the server asks for a login, by a link that it has printed: open " + public,
		Local: public, Link: secret, OwnLink: s.ownLink()})
}
