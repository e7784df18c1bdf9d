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
	"sync/atomic"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// An offer is the handler of a link that works once.
//
// It answers 404 to every other request than that of this user's browser with the link, and the link
// stays valid. Other users may know the path where the system names users: it is in the arguments of xdg-open.
type offer struct {
	way     func() Way
	host    string // our own host:port
	path    string
	peer    peer.Func     // nil: the system names no users, and the path alone decides
	selfUID int           // this user, for peer
	used    chan struct{} // closed when the way was sent

	given atomic.Bool // the link is used up

	mu      sync.Mutex
	refused string
}

func newOffer(way func() Way, host string, who peer.Func) *offer {
	return &offer{way: way, host: host, path: "/" + rand.Text(), peer: who, selfUID: os.Getuid(), used: make(chan struct{})}
}

func (o *offer) url() string { return "http://" + o.host + o.path }

// lastRefused returns who was refused last, or "".
func (o *offer) lastRefused() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused
}

// ServeHTTP answers the first valid request of the link with the way, and all others with 404.
func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Connection", "close")
	if !o.isLinkRequest(r) || !o.isAllowedPeer(r) || o.given.Swap(true) {
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

// SendOn redirects a browser to another address of this machine.
//
// A browser that comes from another site or a file would omit SameSite=Strict cookies after a redirect.
// It gets a page of ours with a refresh instead.
func SendOn(w http.ResponseWriter, r *http.Request, to string) {
	h := w.Header()
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		// See Other: a plain GET, which is never cached.
		h.Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	default:
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = fmt.Fprintf(w, redirectPage, html.EscapeString(to))
	}
}

// isLinkRequest reports whether a browser requests the link itself.
func (o *offer) isLinkRequest(r *http.Request) bool {
	if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(o.path)) != 1 {
		return false
	}
	// DNS rebinding: a page may give its own name our address. The browser then sends that name as Host.
	return r.Host == o.host && !Ahead(r)
}

// Ahead reports whether a browser prefetches. A prefetch must not use up a link that works once.
func Ahead(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") {
			return true
		}
	}
	return false
}

// isAllowedPeer reports whether the process at the other end of the connection may be this user's. It
// refuses one that the kernel assigns to another user. A browser on the Windows side of WSL comes
// through a relay of root's, or has no user here.
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
