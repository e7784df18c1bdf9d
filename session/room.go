package session

import (
	"context"
	"fmt"
	"net"

	"github.com/alps-tunnel/cscs/forward"
)

// A Room answers at the local port before the server does, while the way to it is lost, and,
// of a protected session, always.
type Room interface {
	forward.Room
	// Begin tells where the local port is, what the browser shall open there, below which path the server
	// serves (without a slash at its end), whether the session is protected, and by what the room reaches the server then.
	Begin(port int, path, base string, protected bool, dial func(context.Context) (net.Conn, error))
	// Beside makes the guard of a further port, of a protected session.
	Beside(port int, dial func(context.Context) (net.Conn, error)) forward.Room
	// Serves tells at which port of its node the server listens behind a local port, of a protected session.
	Serves(local, remote int)
	// Shows says what the browser shall open instead. It may have a secret in it.
	Shows(path string)
	// Login hands over what lets a browser into the server, before that is reached.
	Login(cookies []string)
	// Link is the address by which a browser gets in that knows nothing else, made of the
	// app's own.
	Link(app string) string
}

// attachRoom gives the local port its room.
func (s *session) attachRoom() {
	r := s.cfg.Room
	if r == nil {
		return
	}
	r.Begin(s.listener.Port(), s.cfg.App.Path, s.cfg.App.Base, s.cfg.isProtected(), s.listener.Dial)
	s.listener.Room, s.listener.Guarded = r, s.cfg.isProtected()
}

// tellServes tells the room which port of the node a local port leads to.
func (s *session) tellServes(local, remote int) {
	if s.cfg.Room != nil {
		s.cfg.Room.Serves(local, remote)
	}
}

// requestLogin asks the server for what lets a browser in, where it hands that out: then the secret
// need not be in the address. A browser that is not let in so will be asked for it.
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

// unadmitted is the message that a browser cannot be let in without being asked.
type unadmitted struct{ err error }

// openBrowser has the browser opened, once: at the room as soon as there is something to wait for,
// without a room at the server.
func (s *session) openBrowser(work context.Context) {
	if s.cfg.Open == nil || s.opened {
		return
	}
	s.opened = true
	public, link := s.serverLink()
	if s.cfg.Room != nil {
		link = public // who comes from there is let in without a secret in the address
	}
	s.work.Go(func() {
		err := s.cfg.Open(work, link)
		if work.Err() == nil {
			_ = s.sendMessage(work, openDone{err})
		}
	})
}

// warnBrowserUnopened tells that the browser could not be opened, and where it is to be sent by hand.
func (s *session) warnBrowserUnopened(err error) {
	public, link := s.serverLink()
	s.out.emitEvent(Event{Event: EventWarning, Message: s.cfg.Explain(err).Message + ": open " + public + " yourself", Local: public, Link: link})
}

// openRoom has the browser opened at the room, if there is one.
func (s *session) openRoom(work context.Context) {
	if s.cfg.Room != nil {
		s.openBrowser(work)
	}
}

// waitsAt is link while only the room answers there; empty: nobody does.
func (s *session) waitsAt() (public, secret string) {
	if s.listener == nil || s.cfg.Room == nil {
		return "", ""
	}
	return s.serverLink()
}

// serverLink is the address of the server at the local port, for everyone's eyes, and as a browser
// gets in by it.
func (s *session) serverLink() (public, secret string) {
	public, secret = s.cfg.App.Link(fmt.Sprintf("http://127.0.0.1:%d", s.listener.Port()))
	if s.cfg.Room != nil {
		secret = s.cfg.Room.Link(secret)
	}
	return public, secret
}
