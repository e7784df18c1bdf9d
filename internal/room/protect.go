package room

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// mayPass reports whether a request may go on to the server of a protected session. A page of another
// site or port is in the user's own browser, so that the user alone proves nothing: what a browser says
// of a request is looked at first. Then it is the user's own program, address line or page that asks, or a
// tab with the cookie. A browser that says nothing is let in by the cookie alone, since
// any page may have made it ask.
func mayPass(req *http.Request, who standing) bool {
	return ownPage(req) && (who.known || who.ours && (tellsSite(req) || !isBrowser(req)))
}

// tellsSite reports whether the browser says from where a request comes.
func tellsSite(req *http.Request) bool {
	return req.Header.Get("Sec-Fetch-Site") != "" || req.Header.Get("Origin") != ""
}

// isBrowser reports whether a browser asks, or a program that wants to pass for one. PowerShell's Invoke-WebRequest
// does without being asked to. No page of another site can use its name: a page that sets User-Agent has the browser
// ask with an Origin first (Fetch, CORS-preflight).
func isBrowser(req *http.Request) bool {
	agent := req.UserAgent()
	return (strings.HasPrefix(agent, "Mozilla/") || strings.HasPrefix(agent, "Opera/")) && !strings.Contains(agent, "PowerShell/")
}

// denyRequest answers a request that may not go on.
func (r *Room) denyRequest(w http.ResponseWriter, req *http.Request, who standing, port int) {
	host := "127.0.0.1:" + strconv.Itoa(port)
	switch {
	case !ownPage(req) && !isNavigation(req):
		r.refuseRequest(w, req, "A page of another site or port has asked for this, and only pages of http://"+req.Host+" may. To let others in, start the session with --protect=false.", false)
	case !ownPage(req):
		// A link on another page. Who has come by it and means to may go on from here.
		writePage(w, http.StatusForbidden, view{Title: "cscs", Class: "failed", Headline: "Another page has sent you here",
			Lines: []string{"This session is protected: other pages may not use it."}, On: localTarget(req.URL)})
	case isNavigation(req) && req.Host != host && !who.known:
		// The cookie is of the other name.
		setOwnHeaders(w)
		w.Header().Set("Location", "http://"+host+localTarget(req.URL))
		w.WriteHeader(http.StatusTemporaryRedirect)
	case who.ours:
		why := "This browser does not say which page asks. " + r.entryHint()
		if !isNavigation(req) {
			why += " A program that is no browser gets in with a User-Agent that does not begin with Mozilla/ or Opera/."
		}
		r.refuseRequest(w, req, why, true)
	case who.relay:
		r.refuseRequest(w, req, "A process of root's asks, which may act for any user of this machine. "+r.entryHint(), true)
	default:
		r.refuseRequest(w, req, "The system does not say which user asks. "+r.entryHint(), true)
	}
}

// entryHint says by what link one gets in.
func (r *Room) entryHint() string {
	way := "Use the link that cscs has printed"
	if open := r.openCommand(); open != "" {
		way += ", or the tab that " + open + " opens"
	}
	return way + "."
}

// openCommand opens the session in a browser again; empty: no command does, of a tunnel.
func (r *Room) openCommand() string {
	if r.cfg.App == TunnelApp {
		return ""
	}
	return "cscs open " + r.cfg.ID
}

// buffers of the proxy's, as large as a packet of an SSH channel.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// A authProxy stands before the server at one local port of a protected session. It implements
// forward.Room, for a port that never shows the room's page.
type authProxy struct {
	room      *Room
	server    atomic.Int64 // the server's port on its node; 0: not known yet
	proxy     http.Handler
	transport *serverTransport
}

// A serverTransport is how the proxy reaches the server. It keeps connections open.
type serverTransport struct {
	current atomic.Pointer[http.Transport]
}

// RoundTrip implements http.RoundTripper.
func (w *serverTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return w.current.Load().RoundTrip(r)
}

// renewConnections keeps no connection of those that are open, those included that are in use: a transport that gets no
// more requests closes them when their answers end.
func (w *serverTransport) renewConnections() {
	old := w.current.Load()
	w.current.Store(old.Clone())
	old.CloseIdleConnections()
}

// Judge implements forward.Room.
func (f *authProxy) Judge(began []byte) forward.Verdict { return judgeHTTP(began) }

// Diverts implements forward.Room; it is not asked.
func (f *authProxy) Diverts([]byte) bool { return false }

// Vouch implements forward.Room.
func (f *authProxy) Vouch(c net.Conn) bool { return f.room.Vouch(c) }

// Take implements forward.Room.
func (f *authProxy) Take(c net.Conn) { f.room.Take(c) }

// Absent implements forward.Room.
func (f *authProxy) Absent() string { return f.room.Absent() }

// Leads implements forward.Room: what is kept open leads to where the server was.
func (f *authProxy) Leads(bool) { f.transport.renewConnections() }

// Expects implements forward.Room.
func (f *authProxy) Expects() time.Time { return time.Time{} }

// Beside implements [session.Room]: a further port of a protected session lets in who is in at
// the first.
func (r *Room) Beside(port int, dial func(context.Context) (net.Conn, error)) forward.Room {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := newAuthProxy(r, dial)
	r.proxies[port] = f
	return f
}

// Serves implements [session.Room].
func (r *Room) Serves(local, remote int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.proxies[local]; f != nil {
		f.server.Store(int64(remote))
	}
}

// newAuthProxy hands requests on over the connections that dial opens, websockets too. The
// server sees them as they are, but for our cookies and its own address. The room is locked.
func newAuthProxy(r *Room, dial func(context.Context) (net.Conn, error)) *authProxy {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression:  true, // what the browser and the server agree upon is theirs
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
	}
	f := &authProxy{room: r, transport: new(serverTransport)}
	f.transport.current.Store(transport)
	f.proxy = &httputil.ReverseProxy{
		Transport: f.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			own := f.ownHost(p.In)
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", own, own
			keepTarget(p.Out.URL, p.In)
			removeOwnCookies(p.Out.Header)
			for _, name := range []string{"Origin", "Referer", "Destination"} { // the last is WebDAV's
				replaceHost(own, p.Out.Header, name, func(address string) bool { return isOwnAddress(address, p.In) })
			}
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values := p.In.Header.Values(name); values != nil { // which the proxy has dropped
					p.Out.Header[name] = values
				}
			}
			p.Out = p.Out.WithContext(context.WithValue(p.Out.Context(), askedHost{}, p.In.Host))
		},
		ModifyResponse: func(res *http.Response) error {
			asked, _ := res.Request.Context().Value(askedHost{}).(string)
			for _, name := range []string{"Location", "Content-Location", "Access-Control-Allow-Origin"} {
				replaceHost(asked, res.Header, name, func(address string) bool { return f.isServer(address) })
			}
			return nil
		},
		FlushInterval: -1,
		BufferPool:    &buffers{sync.Pool{New: func() any { p := make([]byte, 32<<10); return &p }}},
		ErrorHandler:  r.answerProxyError,
		ErrorLog:      nolog,
	}
	return f
}

// askedHost is where the context of a request has the Host that the client sent.
type askedHost struct{}

// ownHost is the address at which the server sees itself: the one under which its user would reach it by
// ssh -L PORT:localhost:PORT, or on the node. There are servers that answer pages of that address
// alone (Bokeh and Panel their websocket, by the name localhost only), others that compare Host and Origin.
func (f *authProxy) ownHost(in *http.Request) string {
	port := int(f.server.Load())
	if port == 0 {
		port = localPort(in)
	}
	return "localhost:" + strconv.Itoa(port)
}

// isServer reports whether an address is the server's own, as it sees itself.
func (f *authProxy) isServer(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && isHost(u.Host, int(f.server.Load()))
}

// replaceHost replaces the host in a header with an address, if that is one that is to be moved.
func replaceHost(host string, h http.Header, name string, is func(address string) bool) {
	address := h.Get(name)
	if address == "" || host == "" || !is(address) {
		return
	}
	_, rest, _ := strings.Cut(address, "://")
	if slash := strings.IndexAny(rest, "/?#"); slash >= 0 {
		h.Set(name, "http://"+host+rest[slash:])
	} else {
		h.Set(name, "http://"+host)
	}
}

// keepTarget gives u the target of a request byte for byte. [httputil.ReverseProxy] drops parameters
// that net/url does not read (";", a lone "%"), and net/url would write some paths another way;
// what they mean is the server's business.
func keepTarget(u *url.URL, in *http.Request) {
	u.RawQuery = in.URL.RawQuery
	path, _, _ := strings.Cut(in.RequestURI, "?")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") { // which would be taken for a host
		u.Opaque = path
	}
}

// answerProxyError answers for a server that has not answered.
func (r *Room) answerProxyError(w http.ResponseWriter, req *http.Request, err error) {
	setOwnHeaders(w)
	var waited *forward.HoldError
	switch {
	case req.Context().Err() != nil: // nobody waits for it
		panic(http.ErrAbortHandler)
	case errors.As(err, &waited):
		w.Header().Set("Retry-After", "5")
		http.Error(w, "cscs: "+r.Absent(), http.StatusServiceUnavailable)
	default:
		http.Error(w, "cscs: the server does not answer", http.StatusBadGateway)
	}
}

// removeOwnCookies takes our cookies away, also those of other sessions of this machine, which a
// browser sends to every port, and leaves the others as they were written.
func removeOwnCookies(h http.Header) {
	var lines []string
	for _, line := range h.Values("Cookie") {
		parts := slices.DeleteFunc(strings.Split(line, ";"), isOurCookie)
		if line = strings.TrimSpace(strings.Join(parts, ";")); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		h.Del("Cookie")
		return
	}
	h["Cookie"] = lines
}

// isOurCookie reports whether a cookie has a name as cookieName makes them, of any session and port. A server's
// own cookie may begin with the same prefix.
func isOurCookie(cookie string) bool {
	name, _, _ := strings.Cut(cookie, "=")
	rest, prefixed := strings.CutPrefix(strings.TrimSpace(name), cookiePrefix)
	id, port, _ := strings.Cut(rest, "-")
	_, err := strconv.ParseUint(port, 10, 16)
	return prefixed && sessionid.IsID(id) && err == nil
}
