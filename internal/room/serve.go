package room

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/peer"
)

// A connPeer is who is at the other end of a connection, asked for once.
type connPeer struct {
	conn net.Conn
	once sync.Once
	is   peer.Standing
}

type connPeerKey struct{}

func withConnPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connPeerKey{}, &connPeer{conn: c})
}

// standing is what is known of who asks.
type standing struct {
	stranger bool // not a process of this user's, says the kernel
	ours     bool // one of this user's, says the kernel
	relay    bool // one of root's, says the kernel: any user may be behind it
	known    bool // has the cookie
}

// isTrusted reports whether that may see what only the user may.
func (s standing) isTrusted() bool { return !s.stranger && (s.ours || s.known) }

// Vouch implements forward.Room: another protocol has no headers to be judged by, so that it is for this
// user alone, where the kernel tells.
func (r *Room) Vouch(c net.Conn) bool {
	return r.peer.Judge(r.self, c.RemoteAddr(), c.LocalAddr()) == peer.Own
}

func (r *Room) requestStanding(req *http.Request) standing {
	var s standing
	if g, ok := req.Context().Value(connPeerKey{}).(*connPeer); ok {
		g.once.Do(func() { g.is = r.peer.Judge(r.self, g.conn.RemoteAddr(), g.conn.LocalAddr()) })
		s.ours, s.stranger, s.relay = g.is == peer.Own, g.is == peer.Stranger, g.is == peer.Relay
	}
	r.mu.Lock()
	name := r.cookieName()
	r.mu.Unlock()
	for _, c := range req.CookiesNamed(name) {
		s.known = s.known || isSameSecret(c.Value, r.cookie)
	}
	return s
}

func isSameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// ServeHTTP answers all that the room has taken.
func (r *Room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	at := localPort(req)
	who := r.requestStanding(req)
	if who.stranger {
		r.refuseRequest(w, req, "This address belongs to another user of this machine: start a session of your own, with cscs run.", false)
		return
	}
	if !isHost(req.Host, at) {
		r.refuseRequest(w, req, "This address has other names: use http://127.0.0.1:"+strconv.Itoa(at)+"/ or http://localhost:"+strconv.Itoa(at)+"/.", false)
		return
	}
	r.mu.Lock()
	front, beside, there, path := r.proxies[at], at != r.port, r.there, r.path
	r.mu.Unlock()
	if beside { // a further port of a protected session
		there = true
	}
	switch {
	case req.URL.Path == r.ownPrefix()+"events":
		r.requireOwnPage(w, req, func() { r.countOpenPage(func() { r.serveEvents(w, req, who) }) })
	case req.URL.Path == r.ownPrefix()+"in" && req.URL.RawQuery != "":
		r.letIn(w, req)
	case req.URL.Path == r.ownPrefix()+"in":
		r.requireOwnPage(w, req, func() { r.countOpenPage(func() { r.serveAdmission(w, req, who) }) })
	case front != nil && !mayPass(req, who):
		r.denyRequest(w, req, who, at)
	case there && !beside && r.isMisplaced(req):
		setOwnHeaders(w)
		w.Header().Set("Location", "http://127.0.0.1:"+strconv.Itoa(at)+path)
		w.WriteHeader(http.StatusFound)
	case isNavigation(req) && !there:
		r.servePage(w, who)
	case front != nil:
		front.proxy.ServeHTTP(w, req)
	default:
		setOwnHeaders(w)
		http.NotFound(w, req)
	}
}

// localPort is the port at which a request has come.
func localPort(req *http.Request) int {
	if addr, ok := req.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// isHost reports whether a browser may ask for the port under that name.
func isHost(host string, port int) bool {
	name, p, err := net.SplitHostPort(host)
	return err == nil && p == strconv.Itoa(port) && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, strings.ToLower(name))
}

// isOwnAddress reports whether a URL, or an origin, is of the port that a request came to, under any
// of its names.
func isOwnAddress(address string, req *http.Request) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && isHost(u.Host, localPort(req))
}

// setOwnHeaders sets what every answer of our own has: it is of now, and for nobody else.
func setOwnHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// requireOwnPage does what only our own page may ask for.
func (r *Room) requireOwnPage(w http.ResponseWriter, req *http.Request, do func()) {
	if !ownPage(req) || req.Method != http.MethodGet {
		r.refuseRequest(w, req, "This is for cscs's own page.", false)
		return
	}
	do()
}

// ownPage reports whether no other page has asked, as far as the browser tells: Sec-Fetch-Site; Origin and
// Referer, where they are. All three are the browser's own, which no page can set. A page under another
// name of this port is our own page as well, though to the browser it is another site.
func ownPage(req *http.Request) bool {
	origin, from := req.Header.Get("Origin"), req.Header.Get("Referer")
	if origin != "" {
		return isOwnAddress(origin, req)
	}
	switch req.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return from == "" || isOwnAddress(from, req)
	}
	return isOwnAddress(from, req)
}

// servePage answers a navigation for as long as there is no server.
func (r *Room) servePage(w http.ResponseWriter, who standing) {
	r.mu.Lock()
	r.expects = time.Now().Add(pageTime)
	v := r.state.buildView(who.isTrusted(), time.Now())
	v.Room, v.Known, v.Live = r.ownPrefix(), who.known, !r.state.over
	if who.isTrusted() {
		v.Home = r.path
	}
	r.mu.Unlock()
	// What is asked for is not there; a person sees why.
	writePage(w, http.StatusServiceUnavailable, v)
}

// A message is what an open page is told.
type message struct {
	Title string `json:"title"`
	Class string `json:"class"`
	Said  string `json:"said"` // to whom the page is read aloud
	Main  string `json:"main"`
	Foot  string `json:"foot"`
	There bool   `json:"there"`
	Over  bool   `json:"over"`
}

// serveEvents tells an open page what happens, by server-sent events.
func (r *Room) serveEvents(w http.ResponseWriter, req *http.Request, who standing) {
	setOwnHeaders(w)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for {
		r.mu.Lock()
		v, changed := r.state.buildView(who.isTrusted(), time.Now()), r.changed
		m := message{Title: v.Title, Class: v.Class, Said: v.Headline + ". " + firstLine(v.Lines), Foot: v.Foot, There: r.there, Over: r.state.over}
		r.mu.Unlock()
		m.Main = v.renderMain()
		b, err := json.Marshal(m)
		if err != nil {
			panic(err) // of strings
		}
		if _, err := fmt.Fprintf(w, "retry: 1000\ndata: %s\n\n", b); err != nil || control.Flush() != nil || m.Over {
			return
		}
		if !r.waitForChange(req, changed) {
			return
		}
	}
}

// waitForChange reports whether something has changed; else whoever asks, or the room, has gone.
func (r *Room) waitForChange(req *http.Request, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-req.Context().Done():
	case <-r.closed:
	}
	return false
}

// serveAdmission answers when the server is there, with what lets the tab in. It gives no answer but a
// refusal to a tab that is not known.
func (r *Room) serveAdmission(w http.ResponseWriter, req *http.Request, who standing) {
	setOwnHeaders(w)
	if !who.known {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	for {
		r.mu.Lock()
		there, over, login, path, changed := r.there, r.state.over, r.login, r.path, r.changed
		r.mu.Unlock()
		switch {
		case over:
			w.WriteHeader(http.StatusGone)
			return
		case there:
			for _, c := range login {
				w.Header().Add("Set-Cookie", c)
			}
			w.Header().Set("Location", path) // for the page's script
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !r.waitForChange(req, changed) {
			return
		}
	}
}

// letIn takes a ticket or the key of a protected session, and sends the browser on with the
// cookies.
func (r *Room) letIn(w http.ResponseWriter, req *http.Request) {
	setOwnHeaders(w)
	q := req.URL.Query()
	r.mu.Lock()
	good := r.protected && req.Method == http.MethodGet && !browser.Ahead(req) &&
		(isSameSecret(q.Get("key"), r.key) || r.tickets.useTicket(q.Get("ticket"), time.Now()))
	cookies, to := r.admissionCookies(), "http://127.0.0.1:"+strconv.Itoa(r.port)+r.path
	r.mu.Unlock()
	if !good {
		r.refuseRequest(w, req, refusalReason(req), true)
		return
	}
	for _, c := range cookies {
		w.Header().Add("Set-Cookie", c)
	}
	browser.SendOn(w, req, to)
}

// refusalReason says why a link does not let in.
func refusalReason(req *http.Request) string {
	switch q := req.URL.Query(); {
	case browser.Ahead(req), req.Method != http.MethodGet:
		return "This link is for a page that is opened, and not for one that is fetched ahead."
	case q.Has("key"):
		return "The key in this link is not the key of this session: it is of another session, or incomplete."
	case q.Has("ticket"):
		return "This link works once, for " + strconv.Itoa(int(browser.Lifetime/time.Second)) + " s: it was used, or it is too old."
	}
	return "This link has neither a key nor a ticket."
}

// refuseRequest answers what may not be.
func (r *Room) refuseRequest(w http.ResponseWriter, req *http.Request, why string, help bool) {
	if isNavigation(req) {
		v := view{Title: "cscs", Class: "failed", Headline: "Not for this tab", Lines: []string{why}}
		if open := r.openCommand(); help && open != "" {
			v.Command, v.CommandFor = open, "To open the session, in a terminal of this machine"
		}
		writePage(w, http.StatusForbidden, v)
		return
	}
	setOwnHeaders(w)
	http.Error(w, "cscs: "+why, http.StatusForbidden)
}

func firstLine(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}
