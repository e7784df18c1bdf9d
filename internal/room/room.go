// Package room is the waiting room: what a browser finds at the local port before the server
// is there, while the way to it is lost, and when the session has ended. It is a page of our own that
// follows the session's events and becomes the app by itself, at the address at which it was
// asked for, so that a tab lasts for the life of the session.
//
// Of an unprotected session it answers what is a navigation, and what its own page asks for
// below a reserved prefix; all else waits for the server, whose connections it never sees.
// Of a protected one it answers all HTTP, and is a reverse proxy for those that are let in.
//
// # Who is let in
//
// The server of a protected session answers this user's own programs, where the kernel says whose
// process asks, the addresses that are typed, and its own pages: see mayPass. Where the kernel does not
// say it, the cookie alone lets in.
//
// Whoever comes by the way that [Room.Enter] gives, which internal/browser shows to one
// process of this user's, once, gets a cookie with a secret in it; it is named after the session, since
// cookies ignore ports. A tab with the cookie gets the server's own login cookies when the
// server is there. No page and no event has a secret in it. Another user's process gets nothing at all. The Host must be a name of this
// machine's loopback: a web page can give its own name our address (DNS rebinding).
package room

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/session"
)

// Config is what a room is told of its session.
type Config struct {
	ID      string
	Cluster string
	App     string   // "jupyter", "tensorboard", …, TunnelApp
	Hops    []string // the hosts on the way to the login node
	Again   string   // the command that starts the like again; "": not shown
}

// TunnelApp is the App of a tunnel, which no other command knows.
const TunnelApp = "tunnel"

// A Room is the waiting room of one session. It implements [session.Room].
type Room struct {
	cfg    Config
	cookie string    // what lets a tab in, which has come by Enter's way
	key    string    // what does so in the link that the user is shown; only of a protected session
	peer   peer.Func // who is at the other end of a connection
	self   int       // this user, for peer

	server  *http.Server
	conns   conns
	serving conc.WaitGroup

	mu        sync.Mutex
	state     pageState     // what has happened
	changed   chan struct{} // closed and renewed at each change
	port      int
	path      string // what the browser is to show
	base      string // below which the server serves; empty: the whole
	protected bool
	proxies   map[int]*authProxy // of a protected session, by local port
	login     []string           // Set-Cookie lines of the server's own
	there     bool               // the local port leads to the server
	tickets   tickets            // for Enter, of a protected session
	expects   time.Time          // see Expects
	open      int                // pages that wait to be told something
	closed    chan struct{}      // closed by Close
}

const (
	// prefix begins the paths that are ours.
	prefix = "/.cscs/"
	// pageTime is how long a page that was given out may take to ask for the rest.
	pageTime = 5 * time.Second
	// closeTimeout is how long the pages that are open have to be told of the end.
	closeTimeout = time.Second
	// headTime is how long a client may take to send the head of a request.
	headTime = 60 * time.Second
)

// New makes the room of a session that is about to begin.
func New(cfg Config) *Room {
	r := &Room{cfg: cfg, cookie: rand.Text(), key: rand.Text(), peer: peer.UID, self: os.Getuid(),
		changed: make(chan struct{}), closed: make(chan struct{}), proxies: map[int]*authProxy{},
		conns: conns{accepted: make(chan net.Conn), closed: make(chan struct{})}}
	r.state = pageState{cfg: cfg}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: headTime, ConnContext: withConnPeer, DisableGeneralOptionsHandler: true,
		// It would write to the user's terminal.
		ErrorLog: nolog}
	r.serving.Go(func() { _ = r.server.Serve(&r.conns) })
	return r
}

// Begin implements [session.Room].
func (r *Room) Begin(port int, path, base string, protected bool, dial func(context.Context) (net.Conn, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port, r.path, r.base, r.protected = port, path, base, protected
	if protected {
		r.proxies[port] = newAuthProxy(r, dial)
	} else {
		r.server.SetKeepAlivesEnabled(false) // only the first request of a connection was judged
	}
}

// Event takes in what happens to the session.
func (r *Room) Event(e session.Event) {
	r.changeState(func() { r.state.applyEvent(e) })
}

// Login implements [session.Room].
func (r *Room) Login(cookies []string) {
	r.changeState(func() { r.login = cookies })
}

// Shows implements [session.Room].
func (r *Room) Shows(path string) { r.changeState(func() { r.path = path }) }

// Leads implements forward.Room.
func (r *Room) Leads(there bool) {
	var front *authProxy
	r.changeState(func() {
		front = r.proxies[r.port]
		r.there, r.state.there = there, there
		r.state.wasThere = r.state.wasThere || there
	})
	if front != nil {
		front.Leads(there)
	}
}

// Expects implements forward.Room.
func (r *Room) Expects() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expects
}

// Absent implements forward.Room.
func (r *Room) Absent() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.absenceReason(time.Now())
}

// changeState changes the room's state, and tells who waits for that.
func (r *Room) changeState(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Take implements forward.Room.
func (r *Room) Take(c net.Conn) { r.conns.handOverConn(c) }

// Close ends the room. Whoever has its page open has a moment to be told of the session's end, by
// the last event.
func (r *Room) Close() {
	r.conns.stopAccepting()
	enough := time.NewTimer(closeTimeout)
	defer enough.Stop()
	for waiting := true; waiting; {
		r.mu.Lock()
		changed := r.changed
		waiting = r.state.over && r.open > 0
		r.mu.Unlock()
		if waiting {
			select {
			case <-changed:
			case <-enough.C:
				waiting = false
			}
		}
	}
	close(r.closed)
	_ = r.server.Close()
	r.serving.Wait()
	for _, f := range r.proxies {
		f.transport.renewConnections()
	}
}

// Adopt tells which session it is, once that is known.
func (r *Room) Adopt(id, app string) {
	r.changeState(func() {
		r.cfg.ID, r.cfg.App = id, app
		r.state.cfg = r.cfg
	})
}

// countOpenPage counts an open page while do runs.
func (r *Room) countOpenPage(do func()) {
	r.mu.Lock()
	r.open++
	r.mu.Unlock()
	defer r.changeState(func() { r.open-- })
	do()
}

// Enter is the way of a browser that this user's own cscs has opened: to the room, or to the
// server if that is there already. It is meant for [browser.Open].
func (r *Room) Enter() browser.Way {
	r.mu.Lock()
	defer r.mu.Unlock()
	base := "http://127.0.0.1:" + strconv.Itoa(r.port)
	if r.protected {
		// Its port is ours for good, and there are no cookies of its own to be set but there.
		return browser.Way{URL: base + r.ownPrefix() + "in?ticket=" + r.tickets.issueTicket(time.Now())}
	}
	return browser.Way{URL: base + r.path, Cookies: r.admissionCookies()}
}

// admissionCookies are the cookies that let a browser in. The room is locked.
func (r *Room) admissionCookies() []string {
	c := http.Cookie{Name: r.cookieName(), Value: r.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	return append([]string{c.String()}, r.login...)
}

// Link implements [session.Room]: a protected session has a link of its own, which is as good as its
// owner keeps it, as the token of a Jupyter server is.
func (r *Room) Link(app string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.protected {
		return app
	}
	return "http://127.0.0.1:" + strconv.Itoa(r.port) + r.ownPrefix() + "in?" + url.Values{"key": {r.key}}.Encode()
}

// cookieName is of the session and, since several processes may attend that, of the port: cookies are
// for all ports of a host. The room is locked.
func (r *Room) cookieName() string { return cookiePrefix + r.cfg.ID + "-" + strconv.Itoa(r.port) }

const cookiePrefix = "cscs-"

// ownPrefix is the part of the address space that is the room's.
func (r *Room) ownPrefix() string { return prefix + r.cfg.ID + "/" }

// conns are the connections that were taken, as a net.Listener for the server.
type conns struct {
	accepted chan net.Conn
	closed   chan struct{}
	closing  sync.Once
	handing  conc.WaitGroup
}

// handOverConn hands a connection to the server; it does not wait for that.
func (l *conns) handOverConn(c net.Conn) {
	l.handing.Go(func() {
		select {
		case l.accepted <- c:
		case <-l.closed:
			_ = c.Close()
		}
	})
}

// Accept implements net.Listener.
func (l *conns) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *conns) Close() error { l.stopAccepting(); return nil }

func (l *conns) stopAccepting() {
	l.closing.Do(func() { close(l.closed) })
	l.handing.Wait()
}

// Addr implements net.Listener.
func (l *conns) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// tickets let in one browser each, for a while.
type tickets struct{ good map[string]time.Time }

func (t *tickets) issueTicket(now time.Time) string {
	if t.good == nil {
		t.good = map[string]time.Time{}
	}
	for k, until := range t.good {
		if now.After(until) {
			delete(t.good, k)
		}
	}
	k := rand.Text()
	t.good[k] = now.Add(browser.Lifetime)
	return k
}

// useTicket uses a ticket up, and tells whether it was good.
func (t *tickets) useTicket(k string, now time.Time) bool {
	until, ok := t.good[k]
	delete(t.good, k)
	return ok && !now.After(until)
}

// hasToken reports whether one of the comma-separated words of a header is word.
func hasToken(header, word string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part, _, _ = strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(part), word) {
			return true
		}
	}
	return false
}
