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
	"time"

	"github.com/alps-tunnel/cscs/forward"
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

// isBrowser reports whether a browser asks, or a program that wants to pass for one.
func isBrowser(req *http.Request) bool {
	return strings.HasPrefix(req.UserAgent(), "Mozilla/") || strings.HasPrefix(req.UserAgent(), "Opera/")
}

// deny answers a request that may not go on.
func (r *Room) deny(w http.ResponseWriter, req *http.Request, who standing, port int) {
	host := "127.0.0.1:" + strconv.Itoa(port)
	switch {
	case !ownPage(req) && !isNavigation(req):
		r.refuse(w, req, "A page of another site or port has asked for this, and only pages of http://"+req.Host+" may. To let others in, start the session with --protect=false.", false)
	case !ownPage(req):
		// A link on another page. Who has come by it and means to may go on from here.
		writePage(w, http.StatusForbidden, view{Title: "cscs", Class: "failed", Headline: "Another page has sent you here",
			Lines: []string{"This session is protected: other pages may not use it."}, On: localTarget(req.URL)})
	case isNavigation(req) && req.Host != host && !who.known:
		// The cookie is of the other name.
		ours(w)
		w.Header().Set("Location", "http://"+host+localTarget(req.URL))
		w.WriteHeader(http.StatusTemporaryRedirect)
	case who.ours:
		r.refuse(w, req, "This browser does not say which page asks. "+r.wayIn(), true)
	default:
		r.refuse(w, req, "The system does not say which user asks. "+r.wayIn(), true)
	}
}

// wayIn says by what link one gets in.
func (r *Room) wayIn() string {
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

// A front stands before the server at one local port of a protected session. It implements
// forward.Room, for a port that never shows the room's page.
type front struct {
	room      *Room
	proxy     http.Handler
	closeIdle func() // what the proxy keeps open
}

// Judge implements forward.Room.
func (f *front) Judge(began []byte) forward.Verdict { return judgeHTTP(began) }

// Vouch implements forward.Room.
func (f *front) Vouch(c net.Conn) bool { return f.room.Vouch(c) }

// Take implements forward.Room.
func (f *front) Take(c net.Conn) { f.room.Take(c) }

// Absent implements forward.Room.
func (f *front) Absent() string { return f.room.Absent() }

// Leads implements forward.Room: what is kept open leads to where the server was.
func (f *front) Leads(bool) { f.closeIdle() }

// Expects implements forward.Room.
func (f *front) Expects() time.Time { return time.Time{} }

// Beside implements [session.Room]: a further port of a protected session lets in who is in at
// the first.
func (r *Room) Beside(port int, dial func(context.Context) (net.Conn, error)) forward.Room {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := newFront(r, dial)
	r.fronts[port] = f
	return f
}

// newFront hands requests on over the connections that dial opens, websockets too. The
// server sees them as they are, without our cookies. The room is locked.
func newFront(r *Room, dial func(context.Context) (net.Conn, error)) *front {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression:  true, // what the browser and the server agree upon is theirs
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
	}
	return &front{room: r, closeIdle: transport.CloseIdleConnections, proxy: &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", p.In.Host
			p.Out.Host = p.In.Host
			asSent(p.Out.URL, p.In)
			withoutOurs(p.Out.Header)
		},
		FlushInterval: -1,
		BufferPool:    &buffers{sync.Pool{New: func() any { p := make([]byte, 32<<10); return &p }}},
		ErrorHandler:  r.unreached,
		ErrorLog:      nolog,
	}}
}

// asSent gives u the target of a request byte for byte. [httputil.ReverseProxy] drops parameters
// that net/url does not read (";", a lone "%"), and net/url would write some paths another way;
// what they mean is the server's business.
func asSent(u *url.URL, in *http.Request) {
	u.RawQuery = in.URL.RawQuery
	path, _, _ := strings.Cut(in.RequestURI, "?")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") { // which would be taken for a host
		u.Opaque = path
	}
}

// unreached answers for a server that has not answered.
func (r *Room) unreached(w http.ResponseWriter, req *http.Request, err error) {
	ours(w)
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

// withoutOurs takes our cookies away, also those of other sessions of this machine, which a
// browser sends to every port, and leaves the others as they were written.
func withoutOurs(h http.Header) {
	var lines []string
	for _, line := range h.Values("Cookie") {
		parts := slices.DeleteFunc(strings.Split(line, ";"), func(p string) bool {
			return strings.HasPrefix(strings.TrimSpace(p), cookiePrefix)
		})
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
