package waitingroom

import (
	"cmp"
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

// mayPass reports whether a request may pass to the server of a protected session. Pages of other sites and
// ports run in the user's own browser, so the user ID alone proves nothing. The headers that the browser sets
// are therefore checked first. Then the request needs the cookie, or comes from this user's own program,
// address bar or page. A browser that sets none of these headers needs the cookie, since any page may have
// caused its request.
func mayPass(req *http.Request, who standing) bool {
	return ownPage(req) && (who.known || who.ours && (tellsSite(req) || !isBrowser(req)))
}

// tellsSite reports whether the browser says which site made the request.
func tellsSite(req *http.Request) bool {
	return req.Header.Get("Sec-Fetch-Site") != "" || req.Header.Get("Origin") != ""
}

// isBrowser reports whether User-Agent is that of a browser, or of a program that imitates one. PowerShell's
// Invoke-WebRequest does so by default, so it is exempt. No page can use that exemption: if a page sets
// User-Agent, the browser first sends a preflight with Origin (Fetch standard, CORS-preflight).
func isBrowser(req *http.Request) bool {
	agent := req.UserAgent()
	return (strings.HasPrefix(agent, "Mozilla/") || strings.HasPrefix(agent, "Opera/")) && !strings.Contains(agent, "PowerShell/")
}

// denyRequest answers a request that may not pass: with a reason, or with a way to continue.
func (r *Room) denyRequest(w http.ResponseWriter, req *http.Request, who standing, port int) {
	host := "127.0.0.1:" + strconv.Itoa(port)
	switch {
	case !ownPage(req) && !isNavigation(req):
		r.refuseRequest(w, req, "A page of another site or port has asked for this, and only pages of http://"+req.Host+" may. To let others in, start the session with --protect=false.", false)
	case !ownPage(req):
		// The browser followed a link on another page. The user may continue from here.
		writePage(w, http.StatusForbidden, view{Title: "cscs", Class: "failed", Headline: "Another page has sent you here",
			Lines: []string{"This session is protected: other pages may not use it."}, On: localTarget(req.URL)})
	case isNavigation(req) && req.Host != host && !who.known:
		// The cookie is set for 127.0.0.1 only.
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

// entryHint says which link gives access.
func (r *Room) entryHint() string {
	way := "Use the link that cscs has printed"
	if open := r.openCommand(); open != "" {
		way += ", or the tab that " + open + " opens"
	}
	return way + "."
}

// openCommand returns the command that opens the session in a browser; "" for a tunnel, which has none.
func (r *Room) openCommand() string {
	if r.cfg.App == TunnelApp {
		return ""
	}
	return "cscs open " + r.cfg.ID
}

// buffers is a pool of buffers for the proxy, each as large as a packet of an SSH channel.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// An authProxy guards one local port of a protected session and forwards requests to the server. It implements
// forward.Room for a port that never shows the waiting page.
type authProxy struct {
	forward.Room // of the session; Vouch, Take and Absent are the same for each port

	server    atomic.Int64 // the server's port on its node; 0: not yet known
	proxy     http.Handler
	transport *serverTransport
}

// A serverTransport sends the proxy's requests to the server over persistent connections.
type serverTransport struct {
	current atomic.Pointer[http.Transport]
}

// RoundTrip implements http.RoundTripper.
func (w *serverTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return w.current.Load().RoundTrip(r)
}

// renewConnections drops all connections. Those in use close when their responses end, since the old transport
// gets no more requests.
func (w *serverTransport) renewConnections() {
	old := w.current.Load()
	w.current.Store(old.Clone())
	old.CloseIdleConnections()
}

// Judge implements forward.Room.
func (f *authProxy) Judge(began []byte) forward.Verdict { return judgeHTTP(began) }

// Diverts implements forward.Room. The listener does not call it on a guarded port.
func (f *authProxy) Diverts([]byte) bool { return false }

// Leads implements forward.Room. Connections that are still open lead to the former target.
func (f *authProxy) Leads(bool) { f.transport.renewConnections() }

// Expects implements forward.Room.
func (f *authProxy) Expects() time.Time { return time.Time{} }

// Beside implements [session.Room]. A further port of a protected session accepts what the first port accepts.
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

// newAuthProxy returns a proxy that forwards requests, websockets included, over connections that dial opens.
// It changes only the cookies of cscs and the server's own address. The caller holds r.mu.
func newAuthProxy(r *Room, dial func(context.Context) (net.Conn, error)) *authProxy {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression:  true, // the browser and the server negotiate the encoding
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
	}
	f := &authProxy{Room: r, transport: new(serverTransport)}
	f.transport.current.Store(transport)
	f.proxy = &httputil.ReverseProxy{
		Transport: f.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			own := f.ownHost(p.In)
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", own, own
			keepTarget(p.Out.URL, p.In)
			removeOwnCookies(p.Out.Header)
			for _, name := range []string{"Origin", "Referer", "Destination"} { // WebDAV uses Destination
				replaceHost(own, p.Out.Header, name, func(address string) bool { return isOwnAddress(address, p.In) })
			}
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values := p.In.Header.Values(name); values != nil { // ReverseProxy has removed them
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

// askedHost is the context key of the Host that the client sent.
type askedHost struct{}

// ownHost returns the address at which the server sees itself, as reached on its node or by ssh -L
// PORT:localhost:PORT. Some servers answer only pages of that address: Bokeh and Panel accept websockets by the
// name localhost only. Others compare Host with Origin.
func (f *authProxy) ownHost(in *http.Request) string {
	return "localhost:" + strconv.Itoa(cmp.Or(int(f.server.Load()), localPort(in)))
}

// isServer reports whether address is the server's own, as the server sees itself.
func (f *authProxy) isServer(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && isHost(u.Host, int(f.server.Load()))
}

// replaceHost replaces the host of the address in a header if is returns true for the address.
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

// keepTarget gives u the target of a request byte for byte. [httputil.ReverseProxy] drops parameters that
// net/url does not parse (";", a lone "%"), and net/url would write some paths differently. Only the server
// knows what they mean.
func keepTarget(u *url.URL, in *http.Request) {
	u.RawQuery = in.URL.RawQuery
	path, _, _ := strings.Cut(in.RequestURI, "?")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") { // net/url would take "//" for a host
		u.Opaque = path
	}
}

// answerProxyError answers a request to which the server sent no response.
func (r *Room) answerProxyError(w http.ResponseWriter, req *http.Request, err error) {
	setOwnHeaders(w)
	switch {
	case req.Context().Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	case errors.As(err, new(*forward.HoldError)):
		w.Header().Set("Retry-After", "5")
		http.Error(w, "cscs: "+r.Absent(), http.StatusServiceUnavailable)
	default:
		http.Error(w, "cscs: the server does not answer", http.StatusBadGateway)
	}
}

// removeOwnCookies removes the cookies of cscs and leaves the others unchanged. A browser sends the cookies of
// this machine's other sessions too, since cookies ignore ports.
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

// isOurCookie reports whether a cookie has a name as cookieName returns it, for any session and port. The
// prefix alone does not suffice: a server's own cookie may begin with it.
func isOurCookie(cookie string) bool {
	name, _, _ := strings.Cut(cookie, "=")
	rest, prefixed := strings.CutPrefix(strings.TrimSpace(name), cookiePrefix)
	id, port, _ := strings.Cut(rest, "-")
	_, err := strconv.ParseUint(port, 10, 16)
	return prefixed && sessionid.IsID(id) && err == nil
}
