package browser

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"html"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// An offer is a link that works once. It is a server's handler.
//
// Whoever asks in any other way than a browser of this user's that was given
// the link gets the same answer, 404, and the link stays good. Its path may be
// known where users can be told apart: it is in the arguments of xdg-open, for all to see.
type offer struct {
	way     func() Way
	host    string // our own host:port
	path    string
	peer    peer.Func     // nil: nobody vouches for anyone, and who knows the path is let in
	selfUID int           // this user, for peer
	used    chan struct{} // closed when the way has been given

	mu      sync.Mutex
	given   bool
	refused string
}

func newOffer(way func() Way, host string, who peer.Func) *offer {
	return &offer{way: way, host: host, path: "/" + rand.Text(), peer: who, selfUID: os.Getuid(), used: make(chan struct{})}
}

func (o *offer) url() string { return "http://" + o.host + o.path }

// lastRefused says who was refused last.
func (o *offer) lastRefused() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused
}

func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Connection", "close")
	if !o.isLinkRequest(r) || !o.isAllowedPeer(r) || !o.claimLink() {
		http.NotFound(w, r)
		return
	}
	defer close(o.used)
	way := o.way()
	for _, c := range way.Cookies {
		h.Add("Set-Cookie", c)
	}
	SendOn(w, r, way.URL)
}

// SendOn sends a browser on to another address of this machine.
//
// A browser that comes from elsewhere, be it from a file, would go on as from there, and
// leave out the cookies that are for this machine's own pages alone (SameSite=Strict). It
// gets a page of ours to come from.
func SendOn(w http.ResponseWriter, r *http.Request, to string) {
	h := w.Header()
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		// See Other: with a plain GET, never to be remembered.
		h.Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	default:
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = fmt.Fprintf(w, redirectPage, html.EscapeString(to))
	}
}

// isLinkRequest tells whether the request is that of a browser that was sent here.
func (o *offer) isLinkRequest(r *http.Request) bool {
	if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(o.path)) != 1 {
		return false
	}
	// A page may give its own name our address (DNS rebinding); the browser
	// says that name here then.
	return r.Host == o.host && !Ahead(r)
}

// Ahead tells whether a browser fetches ahead: what may never be looked at must not use up
// what works once.
func Ahead(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") {
			return true
		}
	}
	return false
}

// isAllowedPeer tells whether the process at the other end of the connection may be one of
// this user's: not where the kernel names another user. A browser on the Windows side of WSL comes by
// a relay of root's, or has no user here.
func (o *offer) isAllowedPeer(r *http.Request) bool {
	if o.peer == nil {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	remote, err := net.ResolveTCPAddr("tcp", r.RemoteAddr)
	if err != nil {
		return false
	}
	uid, err := o.peer.Of(remote, local)
	if peer.Judge(o.selfUID, uid, err) != peer.Stranger {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused = peer.Name(uid, err)
	return false
}

// claimLink uses the link up, and tells whether this was the first to do so.
func (o *offer) claimLink() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.given {
		return false
	}
	o.given = true
	return true
}
