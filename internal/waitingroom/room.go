// Package waitingroom serves the waiting page, which a browser gets at the local port while no server answers: before
// the start, while the connection is lost, and at the end. The page follows the session's events. When the
// server answers, it reloads the address that the browser requested, so one tab lasts for the life of the
// session.
//
// On the port of an unprotected session, the package answers navigations and requests of its own page below a
// reserved prefix. Everything else waits for the server, and the package never sees its connections. On the
// port of a protected session, it answers all HTTP requests and is a reverse proxy for those that may pass.
//
// # Access
//
// A protected session's server answers requests of this user's own programs, addresses that the user types, and
// its own pages. The kernel says which user's process asks; see mayPass. If the kernel does not say it, only
// the cookie gives access.
//
// A browser that uses the way of [Room.Enter] gets a cookie that contains a secret. internal/browser shows that
// way once, to one process of this user. The cookie's name contains the session's ID, since cookies ignore
// ports. When the server answers, a tab with the cookie gets the server's own login cookies. No page and no
// event contains a secret. The package refuses every request of another user's process. Host must be a name of
// this machine's loopback, because a web page can give its own name this address (DNS rebinding).
package waitingroom

import (
	"context"
	"crypto/rand"
	"maps"
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

// Config describes the session to its waiting page.
type Config struct {
	ID      string
	Cluster string
	App     string   // "jupyter", "tensorboard", …, TunnelApp
	Hops    []string // the hosts on the way to the login node
	Again   string   // the command that starts such a session again; "": not shown
}

// TunnelApp is the App of a tunnel. No other command uses it.
const TunnelApp = "tunnel"

// A Room is the waiting page of one session and, for a protected session, the guard of its local ports. It
// implements [session.Room].
type Room struct {
	cfg    Config
	cookie string    // secret of the cookie, which a tab gets through Enter
	key    string    // secret of the printed link; used by a protected session only
	peer   peer.Func // returns the user at the other end of a connection
	self   int       // this process's user ID, for peer

	server  *http.Server
	conns   conns
	serving conc.WaitGroup

	mu        sync.Mutex
	state     pageState     // the result of the events so far
	changed   chan struct{} // closed and renewed at each change
	port      int
	path      string // the path that the browser opens
	base      string // the path below which the server serves; "": it serves from the root
	protected bool
	proxies   map[int]*authProxy // of a protected session, by local port
	login     []string           // Set-Cookie lines of the server
	there     bool               // the local port leads to the server
	tickets   tickets            // for Enter; used by a protected session only
	expects   time.Time          // see Expects
	open      int                // open requests of pages that wait for a change
	closed    chan struct{}      // closed by Close
}

const (
	// prefix begins the paths that are reserved for this package.
	prefix = "/.cscs/"
	// pageTime is how long a page may take to request its events.
	pageTime = 5 * time.Second
	// closeTimeout is how long Close waits for open pages to receive the end.
	closeTimeout = time.Second
	// headTime is how long a client may take to send the head of a request.
	headTime = 60 * time.Second
)

// New returns the Room of a session that is about to begin. Its server runs until Close.
func New(cfg Config) *Room {
	r := &Room{cfg: cfg, cookie: rand.Text(), key: rand.Text(), peer: peer.UID, self: os.Getuid(),
		changed: make(chan struct{}), closed: make(chan struct{}), proxies: map[int]*authProxy{}, tickets: tickets{},
		conns: conns{accepted: make(chan net.Conn), closed: make(chan struct{})}}
	r.state = pageState{cfg: cfg}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: headTime, ConnContext: r.withConnPeer, DisableGeneralOptionsHandler: true,
		// The default logger would write to the user's terminal.
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
		r.server.SetKeepAlivesEnabled(false) // the listener has judged only the first request of the connection
	}
}

// Event applies an event of the session and updates the open pages.
func (r *Room) Event(e session.Event) {
	r.changeState(func() { r.state.Apply(e) })
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

// changeState changes the state under the lock and wakes the goroutines that wait for a change.
func (r *Room) changeState(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Take implements forward.Room.
func (r *Room) Take(c net.Conn) { r.conns.handOverConn(c) }

// Close closes the Room. If the session has ended, open pages first get up to closeTimeout to receive the last
// event.
func (r *Room) Close() {
	r.conns.stopAccepting()
	enough := time.NewTimer(closeTimeout)
	defer enough.Stop()
	for waiting := true; waiting; {
		r.mu.Lock()
		changed := r.changed
		waiting = r.state.Ended != nil && r.open > 0
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

// SetSession sets the session's ID and app, once they are known.
func (r *Room) SetSession(id, app string) {
	r.changeState(func() {
		r.cfg.ID, r.cfg.App = id, app
		r.state.cfg = r.cfg
	})
}

// Enter returns the way of a browser that this user's own cscs opens: to the waiting page, or to the server if
// it answers already. The caller passes Enter to [browser.Open].
func (r *Room) Enter() browser.Way {
	r.mu.Lock()
	defer r.mu.Unlock()
	base := "http://127.0.0.1:" + strconv.Itoa(r.port)
	if r.protected {
		// The guard answers this port for the whole session, so it takes the ticket there and sets the cookies
		// itself.
		return browser.Way{URL: base + r.ownPrefix() + "in?ticket=" + r.tickets.issueTicket(time.Now())}
	}
	return browser.Way{URL: base + r.path, Cookies: r.admissionCookies()}
}

// admissionCookies returns the Set-Cookie lines that give a browser access. The caller holds r.mu.
func (r *Room) admissionCookies() []string {
	//nolint:gosec // Secure is for https: Safari would not send it to a loopback address over http
	c := http.Cookie{Name: r.cookieName(), Value: r.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	return append([]string{c.String()}, r.login...)
}

// Link implements [session.Room]. For a protected session it returns a link with the session's key. Like the
// URL with a Jupyter token, the link gives access to every browser that has it.
func (r *Room) Link(app string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.protected {
		return app
	}
	return "http://127.0.0.1:" + strconv.Itoa(r.port) + r.ownPrefix() + "in?" + url.Values{"key": {r.key}}.Encode()
}

// cookieName returns the name of the session's cookie. It contains the port too: cookies ignore ports, and
// several processes may attend one session. The caller holds r.mu.
func (r *Room) cookieName() string { return cookiePrefix + r.cfg.ID + "-" + strconv.Itoa(r.port) }

const cookiePrefix = "cscs-"

// ownPrefix returns the prefix of the session's reserved paths.
func (r *Room) ownPrefix() string { return prefix + r.cfg.ID + "/" }

// conns is a net.Listener that accepts the connections passed to Take.
type conns struct {
	accepted chan net.Conn
	closed   chan struct{}
	closing  sync.Once
	handing  conc.WaitGroup
}

// handOverConn passes a connection to the server. It does not block.
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

// tickets holds the unused tickets, each with the time until which it is valid.
type tickets map[string]time.Time

// issueTicket returns a new ticket and removes those that have expired.
func (t tickets) issueTicket(now time.Time) string {
	maps.DeleteFunc(t, func(_ string, until time.Time) bool { return now.After(until) })
	k := rand.Text()
	t[k] = now.Add(browser.Lifetime)
	return k
}

// useTicket removes a ticket and reports whether it was valid.
func (t tickets) useTicket(k string, now time.Time) bool {
	until, ok := t[k]
	delete(t, k)
	return ok && !now.After(until)
}

// hasToken reports whether word is one of the comma-separated values of header, without parameters and case.
func hasToken(header, word string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part, _, _ = strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(part), word) {
			return true
		}
	}
	return false
}
