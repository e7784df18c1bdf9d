package session

import (
	"context"
	"net"

	"github.com/alps-tunnel/cscs/forward"
)

// A Room is the waiting page of the local port. It answers before the server does and while the
// connection to it is lost. In a protected session it judges every request.
type Room interface {
	forward.Room
	// Begin sets the local port, the path for the browser, the path below which the server serves
	// (without a slash at its end), whether the session is protected, and how a protected Room
	// dials the server.
	Begin(port int, path, base string, protected bool, dial func(context.Context) (net.Conn, error))
	// Beside returns the guard of a further port of a protected session.
	Beside(port int, dial func(context.Context) (net.Conn, error)) forward.Room
	// Serves sets the port on which the server listens on its node, for a local port of a protected
	// session.
	Serves(local, remote int)
	// Shows replaces the path for the browser. It may contain a secret.
	Shows(path string)
	// Login sets the cookies that let a browser into the server, before the server is reached.
	Login(cookies []string)
	// Link returns the URL, made of the app's own, that lets in a browser without any other
	// information.
	Link(app string) string
}

// connectRoom connects the local port with its Room.
func (s *sessionCore) connectRoom() {
	r := s.cfg.Room
	if r == nil {
		return
	}
	r.Begin(s.listener.Port(), s.cfg.App.Path, s.cfg.App.Base, s.cfg.isProtected(), s.listener.Dial)
	s.listener.Room, s.listener.Guarded = r, s.cfg.isProtected()
}

// tellServes tells the Room to which port of the node a local port leads.
func (s *sessionCore) tellServes(local, remote int) {
	if s.cfg.Room != nil {
		s.cfg.Room.Serves(local, remote)
	}
}

// requestLogin asks the server for the cookies that let a browser in, if the app has them. Then the
// URL need not contain the secret. Without them, the server asks the browser for it.
func (s *session) requestLogin(ctx context.Context, dial forward.Target) {
	if s.cfg.Room == nil || s.cfg.App.Login == nil {
		return
	}
	client, base, closeIdle := s.tunnelClient(dial)
	defer closeIdle()
	cookies, err := s.cfg.App.Login(ctx, client, base)
	switch {
	case err == nil:
		s.cfg.Room.Login(cookies)
	case ctx.Err() == nil:
		s.postNotice(unadmitted{err})
	}
}

// unadmitted is the message that the server will ask the browser for its token.
type unadmitted struct{ err error }

// openBrowser opens the browser once: at the waiting page as soon as the job is queued or granted,
// or without a Room at the server.
func (s *sessionCore) openBrowser(work context.Context) {
	if s.cfg.Open == nil || s.server.opened {
		return
	}
	s.server.opened = true
	public, link := s.serverLink()
	if s.cfg.Room != nil {
		link = public // a browser that comes by this link gets a cookie, so it needs no secret
	}
	s.work.Go(func() {
		err := s.cfg.Open(work, link)
		if work.Err() == nil {
			_ = s.sendMessage(work, openDone{err})
		}
	})
}

// warnBrowserUnopened warns that the browser could not be opened, with the URL to open by hand.
func (s *session) warnBrowserUnopened(err error) {
	public, link := s.serverLink()
	s.out.emitEvent(Event{Event: EventWarning, Message: s.cfg.Explain(err).Message + ": open " + public + " yourself", Local: public, Link: link})
}

// openRoom opens the browser at the waiting page, if there is a Room.
func (s *session) openRoom(work context.Context) {
	if s.cfg.Room != nil {
		s.openBrowser(work)
	}
}

// waitsAt returns serverLink if a waiting page answers there, otherwise empty strings.
func (s *session) waitsAt() (public, secret string) {
	if s.listener == nil || s.cfg.Room == nil {
		return "", ""
	}
	return s.serverLink()
}

// serverLink returns the server's URL at the local port: without a secret, and as a browser needs
// it to get in.
func (s *sessionCore) serverLink() (public, secret string) {
	public, secret = s.cfg.App.Link(s.localURL())
	if s.cfg.Room != nil {
		secret = s.cfg.Room.Link(secret)
	}
	return public, secret
}
