package waitingroom

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

// connPeerKey is the context key of a function that classifies the user at the other end of the connection.
type connPeerKey struct{}

// withConnPeer adds that function to the context of a connection. The function asks the kernel once.
func (r *Room) withConnPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connPeerKey{}, sync.OnceValue(func() peer.Standing {
		return r.peer.Judge(r.self, c.RemoteAddr(), c.LocalAddr())
	}))
}

// standing is what is known of the client of a request.
type standing struct {
	stranger bool // the kernel says: another user's process, or no process
	ours     bool // the kernel says: this user's process
	relay    bool // the kernel says: root's process, which may relay for any user
	known    bool // the request has the cookie
}

// isTrusted reports whether the client may see what is for the user only.
func (s standing) isTrusted() bool { return !s.stranger && (s.ours || s.known) }

// Vouch implements forward.Room. Other protocols have no headers to judge, so they pass only if the kernel says
// that the client is this user's process.
func (r *Room) Vouch(c net.Conn) bool {
	return r.peer.Judge(r.self, c.RemoteAddr(), c.LocalAddr()) == peer.Own
}

// requestStanding returns what the kernel and the cookies say of the client of req.
func (r *Room) requestStanding(req *http.Request) standing {
	var s standing
	if judge, ok := req.Context().Value(connPeerKey{}).(func() peer.Standing); ok {
		is := judge()
		s.ours, s.stranger, s.relay = is == peer.Own, is == peer.Stranger, is == peer.Relay
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

// ServeHTTP answers the requests of all connections that were passed to Take.
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
	if beside { // a further port of a protected session has no waiting page
		there = true
	}
	switch {
	case req.URL.Path == r.ownPrefix()+"events":
		r.serveOwnPage(w, req, who, r.serveEvents)
	case req.URL.Path == r.ownPrefix()+"in" && req.URL.RawQuery != "":
		r.letIn(w, req)
	case req.URL.Path == r.ownPrefix()+"in":
		r.serveOwnPage(w, req, who, r.serveAdmission)
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

// localPort returns the local port on which a request arrived, or 0.
func localPort(req *http.Request) int {
	if addr, ok := req.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return addr.Port
	}
	return 0
}

// isHost reports whether host is one of the names of this port that a browser may use.
func isHost(host string, port int) bool {
	name, p, err := net.SplitHostPort(host)
	return err == nil && p == strconv.Itoa(port) && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, strings.ToLower(name))
}

// isOwnAddress reports whether a URL or an origin is of the port on which the request arrived, under any of its
// names.
func isOwnAddress(address string, req *http.Request) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && isHost(u.Host, localPort(req))
}

// setOwnHeaders sets the headers of our own answers: they are not stored and not readable by other sites.
func setOwnHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// serveOwnPage serves a GET of our own page, and counts the page as open meanwhile. It refuses all other requests.
func (r *Room) serveOwnPage(w http.ResponseWriter, req *http.Request, who standing, serve func(http.ResponseWriter, *http.Request, standing)) {
	if !ownPage(req) || req.Method != http.MethodGet {
		r.refuseRequest(w, req, "This is for cscs's own page.", false)
		return
	}
	r.mu.Lock()
	r.open++
	r.mu.Unlock()
	defer r.changeState(func() { r.open-- })
	serve(w, req, who)
}

// ownPage reports whether no foreign page made the request, judged by Origin, Sec-Fetch-Site and Referer. The
// browser sets all three, and no page can change them. A page under another name of this port counts as our
// own, though the browser calls it another site.
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

// servePage answers a navigation while no server answers.
func (r *Room) servePage(w http.ResponseWriter, who standing) {
	r.mu.Lock()
	r.expects = time.Now().Add(pageTime)
	v := r.state.buildView(who.isTrusted(), time.Now())
	v.Room, v.Known, v.Live = r.ownPrefix(), who.known, r.state.Ended == nil
	if who.isTrusted() {
		v.Home = r.path
	}
	r.mu.Unlock()
	// The requested resource is not there yet. The user sees the reason.
	writePage(w, http.StatusServiceUnavailable, v)
}

// A message is one update of an open page.
type message struct {
	Title string `json:"title"`
	Class string `json:"class"`
	Said  string `json:"said"` // for screen readers
	Main  string `json:"main"`
	Foot  string `json:"foot"`
	There bool   `json:"there"`
	Over  bool   `json:"over"`
}

// serveEvents sends an open page the session's changes as server-sent events, until the session or the request
// ends.
func (r *Room) serveEvents(w http.ResponseWriter, req *http.Request, who standing) {
	setOwnHeaders(w)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for {
		r.mu.Lock()
		v, changed := r.state.buildView(who.isTrusted(), time.Now()), r.changed
		m := message{Title: v.Title, Class: v.Class, Said: v.Headline + ". " + firstLine(v.Lines), Foot: v.Foot, There: r.there, Over: r.state.Ended != nil}
		r.mu.Unlock()
		m.Main = v.renderMain()
		b, err := json.Marshal(m)
		if err != nil {
			panic(err) // a struct of strings and bools always encodes
		}
		if _, err := fmt.Fprintf(w, "retry: 1000\ndata: %s\n\n", b); err != nil || control.Flush() != nil || m.Over {
			return
		}
		if !r.waitForChange(req, changed) {
			return
		}
	}
}

// waitForChange waits for a change and returns true. It returns false if the client has gone or the Room is
// closed.
func (r *Room) waitForChange(req *http.Request, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-req.Context().Done():
	case <-r.closed:
	}
	return false
}

// serveAdmission waits until the server answers, and then sends the cookies and the path that the tab needs. A
// tab without the cookie gets status 403 at once.
func (r *Room) serveAdmission(w http.ResponseWriter, req *http.Request, who standing) {
	setOwnHeaders(w)
	if !who.known {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	for {
		r.mu.Lock()
		there, over, login, path, changed := r.there, r.state.Ended != nil, r.login, r.path, r.changed
		r.mu.Unlock()
		switch {
		case over:
			w.WriteHeader(http.StatusGone)
			return
		case there:
			for _, c := range login {
				w.Header().Add("Set-Cookie", c)
			}
			w.Header().Set("Location", path) // read by the page's script
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if !r.waitForChange(req, changed) {
			return
		}
	}
}

// letIn checks the ticket or the key of a protected session, sets the cookies and redirects the browser.
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

// refusalReason says why a link gives no access.
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

// refuseRequest answers status 403 with the reason: a page for a navigation, text otherwise.
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
